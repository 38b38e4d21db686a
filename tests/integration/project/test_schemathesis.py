"""The API against its own description: whatever the schema allows or forbids, no answer is a server
error, and every error is a problem document with a stable code.
"""

import json
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance

from apps.accounts.data import IssuedKey

_STREAM = "stream$"
_FUZZ = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


@pytest.mark.django_db(transaction=True)
def test_no_request_is_answered_by_a_server_error(api_key: IssuedKey, redis_url: str):
    del redis_url
    headers = {"Authorization": f"Bearer {api_key.secret}"}
    described = schemathesis.openapi.from_wsgi(
        "/api/schema?format=json", WSGIHandler(), headers=headers
    ).exclude(path_regex=_STREAM)
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @_FUZZ
        @given(case=operation.as_strategy())
        def probe(case: schemathesis.Case) -> None:
            response = case.call(headers=headers)
            case.validate_response(response, checks=[not_a_server_error, content_type_conformance])
            if response.status_code >= 400:
                require_problem(response)

        probe()
        tried += 1
    assert tried > 30


def require_problem(response: Any) -> None:
    """An error is a problem document (RFC 9457) with a code and the trace it happened under."""
    problem = json.loads(response.content)
    assert problem["code"]
    assert problem["status"] == response.status_code
    assert problem["trace_id"]
