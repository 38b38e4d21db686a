"""One map from errors to HTTP: RFC 9457, stable codes, JSON pointers."""

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions, serializers

from apps.accounts.errors import ProjectUnknown, SlugTaken, Unauthenticated
from apps.gateway.errors import IdempotencyInFlight, IdempotencyMismatch, ScopeMissing, TooManyRequests
from apps.kernel.errors import DomainError, Invalid, PreconditionFailed
from apps.kernel.trace import new_trace, set_current_trace
from project.errors import PROBLEM_JSON, problem_response, status_of


class Strange(DomainError):
    """An error of no listed class."""

    code = "strange"
    title = "Strange"


class Small(serializers.Serializer):
    name = serializers.CharField()
    count = serializers.IntegerField(min_value=1)


class Big(serializers.Serializer):
    steps = Small(many=True)
    scopes = serializers.ListField(child=serializers.CharField(max_length=3))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated(), 401),
        (ScopeMissing(needed="jobs:write"), 403),
        (ProjectUnknown(), 404),
        (SlugTaken(slug="a"), 409),
        (IdempotencyInFlight(), 409),
        (PreconditionFailed(expected=1, found=2), 412),
        (IdempotencyMismatch(), 422),
        (Invalid(), 422),
        (Strange(), 422),
        (TooManyRequests(limit_per_minute=1, retry_after_seconds=9), 429),
    ],
)
def test_a_domain_error_has_the_status_of_its_nearest_class(error, status):
    assert status_of(error) == status
    response = problem_response(error, {})
    assert (response.status_code, response.data["status"]) == (status, status)
    assert response.data["code"] == error.code
    assert response.data["type"] == f"/problems/{error.code}"
    assert response.content_type == PROBLEM_JSON


def test_a_problem_carries_the_trace_and_the_facts():
    trace = new_trace()
    set_current_trace(trace)
    body = problem_response(SlugTaken(pointer="/slug", slug="prices"), {}).data
    assert body["trace_id"] == trace.trace_id
    assert body["detail"] == "slug: prices"
    assert body["errors"] == [{"pointer": "/slug", "code": "slug_taken", "detail": "slug: prices"}]


def test_a_secret_among_the_facts_is_not_shown():
    body = problem_response(Invalid(reason="bad fk_abcdefgh_" + "s" * 43), {}).data
    assert "s" * 43 not in str(body)


def test_validation_errors_become_json_pointers():
    serializer = Big(data={"steps": [{"name": "a", "count": 0}, {"count": 2}], "scopes": ["a", "long"]})
    with pytest.raises(exceptions.ValidationError) as caught:
        serializer.is_valid(raise_exception=True)
    response = problem_response(caught.value, {})
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.data["errors"]] == [
        ("/steps/0/count", "min_value"),
        ("/steps/1/name", "required"),
        ("/scopes/1", "max_length"),
    ]


def test_a_body_that_is_no_object_points_at_the_whole():
    with pytest.raises(exceptions.ValidationError) as caught:
        Small(data=[1]).is_valid(raise_exception=True)
    assert problem_response(caught.value, {}).data["errors"][0]["pointer"] == ""


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.ParseError(), 400, "body_malformed"),
        (exceptions.NotAuthenticated(), 401, "unauthenticated"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (Http404(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (RequestDataTooBig(), 413, "body_too_large"),
        (exceptions.UnsupportedMediaType("text/csv"), 415, "media_type_unsupported"),
        (OperationalError("locked"), 503, "database_unavailable"),
    ],
)
def test_the_frameworks_errors_have_codes_of_ours(error, status, code):
    response = problem_response(error, {})
    assert (response.status_code, response.data["code"]) == (status, code)


def test_an_unknown_error_is_a_500_that_shows_nothing_of_itself():
    response = problem_response(RuntimeError("the password is hunter2"), {})
    assert (response.status_code, response.data["code"]) == (500, "internal_error")
    assert "hunter2" not in str(response.data)


def test_who_is_limited_is_told_when_to_come_again():
    response = problem_response(TooManyRequests(limit_per_minute=1, retry_after_seconds=9), {})
    assert response.headers["Retry-After"] == "9"


def test_who_is_unknown_is_told_how_to_authenticate():
    assert problem_response(Unauthenticated(), {}).headers["WWW-Authenticate"] == 'Bearer realm="forekeep"'
