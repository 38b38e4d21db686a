"""What fired a run, in the words of its row."""

import pytest

from apps.progress.templatetags.forekeep import trigger


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("time:2026-11-26T21:35:14Z", "tick of 21:35:14"),
        ("manual:00ff", "by hand"),
        ("event:0xab:3", "a log"),
        ("condition:7", "its condition"),
        ("link:00ff", "another job's run"),
    ],
)
def test_a_run_says_what_fired_it(key, words):
    assert trigger(key) == words
