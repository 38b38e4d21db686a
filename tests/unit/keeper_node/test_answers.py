"""Answers survive the process, a torn line, and their own number."""

import json
from pathlib import Path

from workers.keeper.answers import AnswerBook


def test_an_answer_is_there_for_the_next_process(tmp_path: Path) -> None:
    book = AnswerBook(tmp_path / "a" / "answers.jsonl")
    book.put("k", {"n": 1})
    book.put("k", {"n": 2})
    assert book.get("k") == {"n": 2}
    assert book.get("other") is None

    again = AnswerBook(tmp_path / "a" / "answers.jsonl")

    assert again.get("k") == {"n": 2}
    book.close()
    again.close()


def test_a_line_torn_by_a_kill_is_forgotten_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    book = AnswerBook(path)
    book.put("first", {"n": 1})
    book.close()
    with path.open("ab") as file:
        file.write(b'not json\n["half", {"n"')

    again = AnswerBook(path)
    again.put("second", {"n": 2})
    again.close()
    last = AnswerBook(path)

    assert [last.get(key) for key in ("first", "half", "second")] == [{"n": 1}, None, {"n": 2}]
    last.close()


def test_only_the_newest_answers_are_kept_and_the_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    book = AnswerBook(path, capacity=10)
    for n in range(105):
        book.put(f"k{n}", {"n": n})

    assert len(path.read_bytes().splitlines()) <= 21
    assert book.get("k94") is None
    assert [book.get(f"k{n}") for n in range(95, 105)] == [{"n": n} for n in range(95, 105)]
    book.close()
    again = AnswerBook(path, capacity=10)
    assert again.get("k95") == {"n": 95}
    assert again.get("k104") == {"n": 104}
    again.close()


def test_the_file_holds_plain_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    book = AnswerBook(path)
    book.put("k", {"text": "ü\n"})
    book.close()

    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [["k", {"text": "ü\n"}]]
