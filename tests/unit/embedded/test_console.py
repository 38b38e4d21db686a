"""What a person sees of the processes' lines."""

from pathlib import Path

import pytest

from project.embedded.console import Console, readable


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
