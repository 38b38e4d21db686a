"""/jobs/{id}/storage: what a job's custom script keeps between runs, read and set by hand."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.rest.etags import etag_of, read_match
from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import IF_MATCH
from apps.gateway.rest.scoping import get_project_ids
from apps.jobs.selectors import get_job
from apps.kernel.ids import from_wire
from apps.kernel.reading import Reading
from apps.storage.errors import StoredValueNotFound
from apps.storage.models import StoredValue
from apps.storage.selectors import get_stored_values
from apps.storage.services import storage_delete, storage_put


class StoredValueOut(serializers.ModelSerializer[StoredValue]):
    """One value a job keeps."""

    value = serializers.JSONField(help_text="any JSON but null")
    version = serializers.IntegerField(
        help_text="the sequence number of the job's event that wrote it; also the ETag"
    )

    class Meta:
        model = StoredValue
        fields = ("key", "value", "version", "updated_at")
        read_only_fields = fields


class StoredValueBody(serializers.Serializer[Any]):
    """What to keep."""

    value = serializers.JSONField(help_text="any JSON but null; its canonical form is at most 4 KiB")


class StorageList(GenericAPIView[StoredValue]):
    """Everything one job keeps."""

    permission_classes = [scopes("jobs:read", "jobs:write")]
    serializer_class = StoredValueOut
    page_ordering = "pk"

    @extend_schema(operation_id="job_storage_list", responses=StoredValueOut(many=True))
    def get(self, request: Request, job_id: str) -> Response:
        """List what the job keeps, oldest key first; also of a deleted job."""
        page = self.paginate_queryset(get_stored_values(_visible(request, job_id)))
        return self.get_paginated_response(StoredValueOut(page, many=True).data)


class StorageDetail(GenericAPIView[StoredValue]):
    """One key of one job."""

    permission_classes = [scopes("jobs:read", "jobs:write")]
    serializer_class = StoredValueOut

    @extend_schema(operation_id="job_storage_retrieve", responses=StoredValueOut)
    def get(self, request: Request, job_id: str, key: str) -> Response:
        """Show what the job keeps under a key."""
        row = get_stored_values(_visible(request, job_id)).filter(key=key.replace("\0", "")).first()
        if row is None:
            raise StoredValueNotFound()
        return _answer(row)

    @extend_schema(
        operation_id="job_storage_set",
        request=StoredValueBody,
        responses=StoredValueOut,
        parameters=[IF_MATCH],
        examples=[OpenApiExample("Start counting anew", value={"value": 0}, request_only=True)],
    )
    def put(self, request: Request, job_id: str, key: str) -> Response:
        """Keep a value under a key; runs that were opened before lose against it.

        `If-Match: "v0"` asks that nothing is kept there yet.
        """
        value = Reading(request.data, "", {"value"}).require("value")
        row = storage_put(
            job_id=from_wire("job", job_id),
            key=key,
            value=value,
            project_ids=get_project_ids(request),
            version=read_match(request),
        )
        return _answer(row)

    @extend_schema(operation_id="job_storage_delete", responses={204: None}, parameters=[IF_MATCH])
    def delete(self, request: Request, job_id: str, key: str) -> Response:
        """Forget a key."""
        storage_delete(
            job_id=from_wire("job", job_id),
            key=key,
            project_ids=get_project_ids(request),
            version=read_match(request),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def _visible(request: Request, job_id: str) -> UUID:
    return get_job(from_wire("job", job_id), get_project_ids(request)).id


def _answer(row: StoredValue) -> Response:
    return Response(StoredValueOut(row).data, headers={"ETag": etag_of(row)})
