"""What a person sees of the processes' lines."""

import json
from pathlib import Path

import pytest

from project.embedded.console import Console, readable
from project.embedded.up import is_at_work


def test_a_json_line_is_shown_as_its_event_and_facts() -> None:
    line = '{"event": "task confirmed", "level": "info", "trace_id": "ab", "task": "task_1", "seconds": 2}'

    assert readable(line) == "task confirmed task=task_1 seconds=2"


def test_a_warning_says_that_it_is_one() -> None:
    assert readable('{"event": "keeper lost", "level": "warning"}') == "WARNING keeper lost"


def test_other_lines_are_shown_as_they_are() -> None:
    assert readable("Listening at 8000") == "Listening at 8000"
    assert readable('{"not": "a log line"}') == '{"not": "a log line"}'
    assert readable("{broken") == "{broken"


def test_lines_go_to_the_terminal_with_their_name_and_to_a_log_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(folder=tmp_path / "log", hidden=("redis",))
    console("web", "up")
    console("redis", "ready")
    console.close()

    shown = capsys.readouterr().out
    assert "web     | up" in shown
    assert "ready" not in shown
    assert console.get_tail("redis", 5)[0].endswith(" ready")
    assert console.get_tail("nobody", 5) == []


def test_a_quiet_console_only_writes_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(folder=tmp_path, is_quiet=True)
    console("web", "up")
    console.close()

    assert capsys.readouterr().out == ""
    assert console.get_tail("web", 1)[0].endswith(" up")


def test_a_log_that_has_grown_large_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("project.embedded.console._KEEP_BYTES", 100)
    console = Console(folder=tmp_path, is_quiet=True)
    for number in range(6):
        console("web", f"line {number} " + "x" * 40)
    console.close()

    assert (tmp_path / "web.log.1").exists()
    assert "line 5" in (tmp_path / "web.log").read_text()


def said(event: str, level: str = "info", **facts: object) -> str:
    """A JSON log line."""
    return json.dumps({"event": event, "level": level, **facts})


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred",
        "two\nlines",
        "bell\x07",
        "nul\0",
        "\x9b31m",
        "back\b\r",
        "turned\u202eround",
        "a\u2028b",
    ],
)
def test_what_would_steer_the_terminal_is_spelled_out(text: str) -> None:
    shown = [readable(said("request", path=text)), readable(said(text)), readable("plain " + text)]
    assert all(line.isprintable() for line in shown)
    assert shown[0] == "request path=" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def test_a_fake_line_in_a_traceback_stays_indented_and_letters_stay_letters() -> None:
    shown = readable(said("broken", "error", exception="Traceback\nValueError: grüße\x1b[2J"))
    assert shown == "ERROR broken exception=\n    Traceback\n    ValueError: grüße\\x1b[2J"


def test_requests_late_answers_and_banners_are_only_in_the_log_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(folder=tmp_path)
    for name, line in (
        ("web", said("request", path="/")),
        ("web", said("Unprocessable Entity: /x", "warning", logger="django.request")),
        ("worker", said("answer came late", code="round_unknown")),
        ("prover", "INFO proving key loaded: 16 steps"),
        ("worker", " -------------- stages@vm v5.7.0 (collider)"),
        ("keepers", said("SecurityWarning: superuser", "warning", logger="py.warnings")),
        ("worker", said("stages@vm ready.", logger="celery.apps.worker")),
    ):
        console(name, line)
    assert capsys.readouterr().out == ""
    assert "collider" in console.get_tail("worker", 2)[0]

    console("web", said("Internal Server Error: /x", "error", logger="django.request"))
    console("worker", said("message refused", "warning", code="receipt_invalid"))
    console("setup", "contracts deployed")
    assert len(capsys.readouterr().out.splitlines()) == 3
    console.hush()
    console("setup", "more")
    assert capsys.readouterr().out == ""
    console.close()


def test_everything_is_at_work_once_the_worker_and_every_keeper_have_said_so(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "keepers" / str(number)).mkdir(parents=True)
        (tmp_path / "keepers" / str(number) / "keystore.json").touch()
    console = Console(folder=tmp_path / "log", is_quiet=True)
    console("worker", said("stages@vm ready.", logger="celery.apps.worker"))
    console("keepers", said("keeper starts"))
    assert not is_at_work(console, tmp_path)
    console("keepers", said("keeper starts"))
    assert is_at_work(console, tmp_path)
    console.close()
