"""/ledger: what moved on a project's accounts. Here because the ledger lies below the gateway."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project
from apps.kernel.ids import to_wire
from apps.ledger.models import Posting
from apps.ledger.selectors import get_project_balances, get_statement


class StatementLineOut(serializers.Serializer[Any]):
    """One posting on one of the project's two accounts; amounts are texts of integers (units)."""

    transaction = serializers.SerializerMethodField(help_text="`txn_…`; its other lines have the same")
    account = serializers.SerializerMethodField(help_text="`prepaid` or `escrow`")
    kind = serializers.CharField(source="transaction.kind", read_only=True)
    reference = serializers.CharField(source="transaction.reference", read_only=True)
    amount_units = serializers.CharField(read_only=True)
    balance_after_units = serializers.CharField(read_only=True)
    memo = serializers.JSONField(source="transaction.memo", read_only=True)
    trace_id = serializers.CharField(source="transaction.trace_id", read_only=True)
    created_at = serializers.DateTimeField(source="transaction.created_at", read_only=True)

    def get_transaction(self, line: Posting) -> str:
        """`txn_…`"""
        return to_wire("txn", line.transaction_id)

    def get_account(self, line: Posting) -> str:
        """`prepaid` or `escrow`"""
        return line.account.kind.removeprefix("project_")


class BalancesOut(serializers.Serializer[Any]):
    """A project's money, in units as texts of integers."""

    project = serializers.CharField(help_text="`proj_…`")
    prepaid_units = serializers.CharField(help_text="What it has to spend")
    escrow_units = serializers.CharField(help_text="What is held for its runs")


class StatementList(GenericAPIView[Posting]):
    """The statement of one project."""

    permission_classes = [scope("projects:read")]
    serializer_class = StatementLineOut

    @extend_schema(
        operation_id="ledger_statement", responses=StatementLineOut(many=True), parameters=[PROJECT]
    )
    def get(self, request: Request) -> Response:
        """List what was posted to the project's accounts, newest first."""
        page = self.paginate_queryset(get_statement(get_project(request).id))
        return self.get_paginated_response(StatementLineOut(page, many=True).data)


class Balances(GenericAPIView[Posting]):
    """The balances of one project."""

    permission_classes = [scope("projects:read")]
    serializer_class = BalancesOut
    pagination_class = None

    @extend_schema(operation_id="ledger_balances", responses=BalancesOut, parameters=[PROJECT])
    def get(self, request: Request) -> Response:
        """Show what the project has to spend and what is held for its runs."""
        project = get_project(request)
        prepaid, escrow = get_project_balances(project.id)
        return Response(
            {"project": project.wire_id, "prepaid_units": str(prepaid), "escrow_units": str(escrow)}
        )
