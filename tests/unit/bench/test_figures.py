"""How benches tell what they measured."""

import os
from pathlib import Path

import pytest

from bench.figures import FILE_VARIABLE, Figure, line_of, number_text, percentile, read_figures, tell
from bench.processes import cpu_seconds


def figure(**changes) -> Figure:
    return Figure(**{"bench": "b", "name": "tasks", "value": 123.4, "unit": "/s", **changes})


def test_a_figure_with_a_peer_says_how_it_stands_to_it():
    assert line_of(figure(ratio=0.62, beside="the aim")).endswith("0.62 × the aim")


def test_a_figure_alone_has_no_ratio():
    assert "×" not in line_of(figure())


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.0"), (1.234, "1.23"), (56.78, "56.8"), (1234.5, "1,234"), (-2.5, "-2.50")]
)
def test_numbers_have_about_three_digits(value, text):
    assert number_text(value) == text


def test_figures_are_collected_where_the_variable_names_a_file(tmp_path: Path, monkeypatch, capsys):
    file = tmp_path / "figures.jsonl"
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    tell([figure(), figure(name="messages", ratio=2.0, beside="plain")])
    assert read_figures(file) == [figure(), figure(name="messages", ratio=2.0, beside="plain")]
    assert "messages" in capsys.readouterr().out


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.99) == 7.0


def test_the_cpu_of_this_process_grows_and_an_unknown_root_has_none():
    before = cpu_seconds({"own": os.getpid(), "none": 2**30})
    sum(range(4_000_000))
    after = cpu_seconds({"own": os.getpid(), "none": 2**30})
    assert after["own"] > before["own"] > 0
    assert after["none"] == 0
