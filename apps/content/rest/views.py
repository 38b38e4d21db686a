"""/content: upload bytes, read them back by CID. The body is the content, whatever its media type."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.content.domain.cid import parse_cid
from apps.content.selectors import get_content
from apps.content.services import content_put
from apps.gateway.rest.permissions import scope


class ContentOut(serializers.Serializer[Any]):
    """A stored content."""

    cid = serializers.CharField(help_text="CIDv1, base32")
    size = serializers.IntegerField(help_text="bytes")


class ContentUpload(APIView):
    """Where contents come in."""

    permission_classes = [scope("content:write")]

    @extend_schema(
        operation_id="content_create",
        request={"application/octet-stream": bytes},
        responses={201: ContentOut},
        examples=[
            OpenApiExample(
                "A table",
                value="day,price\n2026-11-26,412.7\n",
                media_type="application/octet-stream",
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Store the body as it is (at most 8 MiB) and answer its CID; again gives the same answer."""
        data = _read_body(request, settings.FOREKEEP.content.upload_max_bytes)
        cid = content_put(data)
        body = ContentOut({"cid": cid, "size": len(data)}).data
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": f"/api/v1/content/{cid}"})


class ContentDetail(APIView):
    """One content."""

    permission_classes = [scope("content:read")]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Bytes are answered whatever the caller accepts; problems stay JSON."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(operation_id="content_retrieve", responses={(200, "application/octet-stream"): bytes})
    def get(self, request: Request, cid: str) -> HttpResponse:
        """The bytes, verified against the CID before the first one is sent."""
        headers = {
            "ETag": f'"{cid}"',
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Disposition": "attachment",
            "Content-Security-Policy": "sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        parse_cid(cid)
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return HttpResponse(get_content(cid), content_type="application/octet-stream", headers=headers)


def _read_body(request: Request, limit_bytes: int) -> bytes:
    """The raw body, at most one byte more than the limit; multipart forms are not unpacked but refused."""
    if (request.content_type or "").startswith("multipart/"):
        raise UnsupportedMediaType(request.content_type or "")
    return request._request.read(limit_bytes + 1)
