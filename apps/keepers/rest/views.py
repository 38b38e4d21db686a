"""/keepers for readers and operators; registration and check-in for the keepers themselves.

The keepers' own two doors take no API key: the message's signature is the credential.
"""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.rest.permissions import scopes
from apps.keepers.data import KeeperStatus, check_in_from_json, registration_from_json
from apps.keepers.errors import FilterInvalid
from apps.keepers.models import Keeper
from apps.keepers.ports import get_ports
from apps.keepers.rest.examples import CHECK_IN, REASON, REGISTRATION
from apps.keepers.rest.serializers import CheckInIn, CheckInOut, KeeperOut, ReasonIn, RegistrationIn
from apps.keepers.selectors import get_keeper, get_keepers
from apps.keepers.services import (
    keeper_check_in,
    keeper_register,
    keepers_reinstate,
    keepers_retire,
    keepers_suspend,
)

_BOOLEANS = {"true": True, "false": False}
_ONLINE = OpenApiParameter("online", bool, OpenApiParameter.QUERY, description="Only online, or only offline")
_STATUS = OpenApiParameter("status", str, OpenApiParameter.QUERY, enum=[str(value) for value in KeeperStatus])


class KeeperList(GenericAPIView[Keeper]):
    """The keepers of the network."""

    permission_classes = [scopes("keepers:read", "keepers:write")]
    serializer_class = KeeperOut
    page_ordering = "pk"

    @extend_schema(operation_id="keepers_list", responses=KeeperOut(many=True), parameters=[_ONLINE, _STATUS])
    def get(self, request: Request) -> Response:
        """List keepers by address."""
        rows = get_keepers(status=_read_status(request), online=_read_online(request))
        return self.get_paginated_response(KeeperOut(self.paginate_queryset(rows), many=True).data)


class KeeperDetail(GenericAPIView[Keeper]):
    """One keeper."""

    permission_classes = [scopes("keepers:read", "keepers:write")]
    serializer_class = KeeperOut

    @extend_schema(operation_id="keepers_retrieve", responses=KeeperOut)
    def get(self, request: Request, address: str) -> Response:
        """Show one keeper."""
        return Response(KeeperOut(get_keeper(address)).data)


class _KeeperAction(GenericAPIView[Keeper]):
    """An operator's word about one keeper."""

    permission_classes = [scopes("keepers:write", "keepers:write")]
    serializer_class = KeeperOut

    def act(self, request: Request, address: str, move: Any) -> Response:
        """Carry out a move and show the keeper."""
        body = ReasonIn(data=request.data)
        body.is_valid(raise_exception=True)
        keeper = get_keeper(address)
        move([keeper.address], reason=body.validated_data["reason"])
        return Response(KeeperOut(get_keeper(address)).data)


class KeeperSuspend(_KeeperAction):
    """No new work for a keeper."""

    @extend_schema(operation_id="keepers_suspend", request=ReasonIn, responses=KeeperOut, examples=REASON)
    def post(self, request: Request, address: str) -> Response:
        """Suspend a keeper; doing so again changes nothing."""
        return self.act(request, address, keepers_suspend)


class KeeperReinstate(_KeeperAction):
    """Work again for a suspended keeper."""

    @extend_schema(operation_id="keepers_reinstate", request=ReasonIn, responses=KeeperOut, examples=REASON)
    def post(self, request: Request, address: str) -> Response:
        """Reinstate a keeper; doing so again changes nothing."""
        return self.act(request, address, keepers_reinstate)


class KeeperRetire(_KeeperAction):
    """The end of a keeper."""

    @extend_schema(operation_id="keepers_retire", request=ReasonIn, responses=KeeperOut, examples=REASON)
    def post(self, request: Request, address: str) -> Response:
        """Retire a keeper for good; doing so again changes nothing."""
        return self.act(request, address, keepers_retire)


class KeeperRegister(GenericAPIView[Keeper]):
    """A keeper joins, or changes its profile."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    throttle_classes = ()
    serializer_class = RegistrationIn

    @extend_schema(
        request=RegistrationIn, responses={200: KeeperOut, 201: KeeperOut}, auth=[], examples=REGISTRATION
    )
    def post(self, request: Request) -> Response:
        """Register a keeper that holds its BLS key and has stake on chain."""
        ports, limits = get_ports(), settings.FOREKEEP.keepers
        registration, signature = registration_from_json(request.data)
        keeper, is_new = keeper_register(
            registration,
            signature,
            domain=ports.domain,
            registry=ports.registry,
            min_stake_units=limits.min_stake_units,
            window_seconds=limits.timestamp_window_seconds,
        )
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        location = f"/api/v1/keepers/{keeper.address}"
        return Response(KeeperOut(keeper).data, status=code, headers={"Location": location})


class KeeperCheckIn(GenericAPIView[Keeper]):
    """A keeper's sign of life."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    throttle_classes = ()
    serializer_class = CheckInIn

    @extend_schema(request=CheckInIn, responses=CheckInOut, auth=[], examples=CHECK_IN)
    def post(self, request: Request) -> Response:
        """Check in; a nonce counts once, the time is within 60 s of now."""
        check_in, signature = check_in_from_json(request.data)
        recorded_at = keeper_check_in(
            check_in,
            signature,
            domain=get_ports().domain,
            window_seconds=settings.FOREKEEP.keepers.timestamp_window_seconds,
        )
        return Response(CheckInOut({"keeper": check_in.keeper, "recorded_at": recorded_at}).data)


def _read_status(request: Request) -> KeeperStatus | None:
    text = request.query_params.get("status")
    if text is None:
        return None
    if text not in set(KeeperStatus):
        raise FilterInvalid(pointer="/status", expected=[str(value) for value in KeeperStatus])
    return KeeperStatus(text)


def _read_online(request: Request) -> bool | None:
    text = request.query_params.get("online")
    if text is None:
        return None
    if text.lower() not in _BOOLEANS:
        raise FilterInvalid(pointer="/online", expected=sorted(_BOOLEANS))
    return _BOOLEANS[text.lower()]
