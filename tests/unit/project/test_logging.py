"""Log lines are JSON with the trace, and no secret gets into them (invariant 27)."""

import json
import logging
from typing import Any

import pytest
import structlog

from apps.accounts.domain.keys import make_key_text
from apps.kernel.trace import new_trace, set_current_trace
from project.logging import REDACTED, redact_text, redact_value
from tests.support.logs import captured_lines

KEY = make_key_text(b"12345", bytes(range(32))).secret
PRIVATE_KEY = "0x" + "ab" * 32


@pytest.fixture
def lines():
    """The root logger's lines as the JSON formatter writes them."""
    with captured_lines() as read:
        yield read


def test_a_line_carries_the_trace_the_level_and_the_facts(lines):
    trace = new_trace()
    set_current_trace(trace)
    structlog.get_logger("forekeep.test").warning("something happened", count=3)
    (line,) = lines()
    assert line["event"] == "something happened"
    assert (line["trace_id"], line["span_id"]) == (trace.trace_id, trace.span_id)
    assert (line["level"], line["logger"], line["count"]) == ("warning", "forekeep.test", 3)
    assert line["timestamp"].endswith("Z")


def test_a_line_of_the_standard_library_looks_the_same(lines):
    logging.getLogger("forekeep.test").warning("count is %d", 3, extra={"run": "run_1"})
    (line,) = lines()
    assert (line["event"], line["run"], line["level"]) == ("count is 3", "run_1", "warning")
    assert line["trace_id"]


@pytest.mark.parametrize(
    "value",
    [
        {"secret": KEY},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": {"X-API-Key": KEY}},
        {"private_key": PRIVATE_KEY},
        {"signer": {"address": "0x1", "private_key": PRIVATE_KEY}},
        {"password": "hunter2"},
        {"text": f"the key {KEY} was refused"},
        {"urls": ["postgres://me:hunter2@localhost/db", "redis://:hunter2@localhost/0"]},
        {"text": f"{{'private_key': '{PRIVATE_KEY}'}}"},
        {"text": "Authorization: Basic aHVudGVyMjpodW50ZXIy"},
        {"flower_basic_auth": "me:hunter2"},
    ],
)
def test_no_secret_survives_in_a_line(lines, value: dict[str, Any]):
    structlog.get_logger("forekeep.test").warning("with facts", **value)
    logging.getLogger("forekeep.test").warning("as text %s", value)
    text = json.dumps(lines())
    for secret in (KEY, KEY.rpartition("_")[2], PRIVATE_KEY, "hunter2", "aHVudGVyMjpodW50ZXIy"):
        assert secret not in text
    assert REDACTED in text


def test_no_secret_survives_in_a_traceback(lines):
    try:
        raise ValueError(f"cannot use {KEY}")
    except ValueError:
        structlog.get_logger("forekeep.test").exception("failed")
    (line,) = lines()
    assert "Traceback" in line["exception"]
    assert KEY.rpartition("_")[2] not in line["exception"]


def test_what_is_public_stays_readable():
    facts = {"key_id": "key_1", "tx_hash": "0x" + "cd" * 32, "tokens": 3, "is_secret": False, "cid": "bafk"}
    assert redact_value(facts) == facts
    assert redact_text("http://localhost:8000/api/v1/jobs") == "http://localhost:8000/api/v1/jobs"


def test_the_prefix_of_a_key_stays_to_find_it_by():
    assert redact_text(KEY) == f"fk_{KEY.split('_')[1]}_{REDACTED}"
