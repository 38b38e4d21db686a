"""Frames: what an event changes on a picture of a run."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from apps.progress.domain.frames import EventFacts, apply_frame, fold, frame_of, to_rfc3339
from apps.tasks.data import TaskStatus

RUN = UUID(int=1)
TASK = UUID(int=2)
START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)


def event(sequence: int = 1, aggregate: str = "task", **payload: Any) -> EventFacts:
    return EventFacts(
        sequence=sequence,
        type=f"{aggregate}.changed",
        aggregate=aggregate,
        aggregate_id=(TASK if aggregate == "task" else RUN).hex,
        run_id=RUN,
        at=START + timedelta(seconds=sequence),
        trace_id="ab" * 16,
        payload=payload,
    )


def test_a_frame_names_its_entity_and_run_as_the_api_does():
    frame = frame_of(event(7, set={"status": "executing"})).to_json()

    assert frame["id"] == f"task_{TASK.hex}"
    assert frame["run"] == f"run_{RUN.hex}"
    assert frame["sequence"] == 7
    assert frame["at"] == "2026-11-20T07:00:07.000000Z"


def test_only_public_fields_go_over_the_wire():
    frame = frame_of(event(set={"status": "executed", "spec": {"params": 1}, "result": {}, "wake_at": "x"}))

    assert set(frame.patch) == {"status", "timeline"}


def test_a_status_without_a_timeline_is_entered_when_its_event_happened():
    frame = frame_of(event(3, set={"status": "attested"}))

    assert frame.patch["timeline"] == {"attested": "2026-11-20T07:00:03.000000Z"}


def test_the_row_s_own_timeline_wins():
    frame = frame_of(event(set={"status": "attested", "timeline": {"attested": "2026-01-01T00:00:00.000Z"}}))

    assert frame.patch["timeline"] == {"attested": "2026-01-01T00:00:00.000Z"}


def test_an_error_is_one_field_and_clearing_it_is_null():
    failed = frame_of(event(set={"error_code": "script_failed", "error_detail": "exit 1"}))
    cleared = frame_of(event(set={"error_code": ""}))

    assert failed.patch["error"] == {"code": "script_failed", "detail": "exit 1"}
    assert cleared.patch == {"error": None}


def test_money_is_a_string_of_an_integer():
    assert frame_of(event(aggregate="run", set={"spent_units": 12})).patch == {"spent_units": "12"}
    slashed = frame_of(event(aggregate="rollback", set={"slashed_units": 100_000, "victims": {"0xab": 1}}))
    assert slashed.patch == {"slashed_units": "100000"}


def test_what_a_new_attempt_clears_is_null_as_in_the_rows():
    reopened = {
        "status": "waiting",
        "epoch": 3,
        "is_ahead": False,
        "is_failing": False,
        "performer": "",
        "output_cid": "",
        "package_cid": "",
        "error_code": "",
        "error_detail": "",
        "result": None,
    }

    patch = frame_of(event(set=reopened)).patch

    assert patch == {
        "status": "waiting",
        "timeline": {"waiting": "2026-11-20T07:00:01.000000Z"},
        "epoch": 3,
        "is_ahead": False,
        "is_failing": False,
        "performer": None,
        "output_cid": None,
        "package_cid": None,
        "error": None,
    }


def test_the_depth_of_a_decision_is_the_task_s_and_a_proof_s_is_not():
    admitted = event(set={"status": "scheduled"}, verdict="ahead", depth=2)
    queued = event(set={"status": "proving"}, proof="prf_1", depth=1)

    assert frame_of(admitted).patch["depth"] == 2
    assert "depth" not in frame_of(queued).patch


def test_rollbacks_and_dead_letters_are_known_by_the_ids_the_api_gives_them():
    for aggregate, prefix in (("rollback", "rbk"), ("dead_letter", "dl")):
        frame = frame_of(event(aggregate=aggregate, set={"phase": "cleaning", "replayed_at": "x"}))
        assert frame.id == f"{prefix}_{RUN.hex}"
        assert frame.patch == ({"phase": "cleaning"} if aggregate == "rollback" else {"replayed_at": "x"})


def test_an_event_that_changes_nothing_shown_is_still_a_frame():
    for aggregate, payload in (("task", {}), ("task", {"set": None}), ("round", {"set": {"status": "open"}})):
        assert frame_of(event(aggregate=aggregate, **payload)).patch == {}


def test_a_keeper_is_known_by_its_address():
    facts = event(aggregate="keeper")
    facts = EventFacts(**{**{name: getattr(facts, name) for name in facts.__slots__}, "aggregate_id": "0xab"})

    assert frame_of(facts).id == "0xab"


def test_times_are_utc_with_z_to_the_microsecond():
    assert to_rfc3339(datetime.fromisoformat("2026-03-01T01:02:03.5+05:30")) == "2026-02-28T19:32:03.500000Z"


_patches = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from([str(status) for status in TaskStatus]),
        "performer": st.text(max_size=5),
        "epoch": st.integers(0, 9),
        "is_ahead": st.booleans(),
        "error_code": st.sampled_from(["", "script_failed"]),
        "timeline": st.dictionaries(st.sampled_from(["waiting", "executing"]), st.just("t"), max_size=2),
    },
)


@given(st.lists(_patches, max_size=12))
def test_applying_a_frame_twice_changes_nothing(patches: list[dict[str, Any]]):
    picture: dict[str, Any] = {}
    for number, patch in enumerate(patches):
        frame = frame_of(event(number, set=patch))
        picture = apply_frame(picture, frame)
        assert apply_frame(picture, frame) == picture


@given(st.lists(_patches, max_size=12), st.data())
def test_a_stream_that_resumes_anywhere_gives_the_same_picture(
    patches: list[dict[str, Any]], data: st.DataObject
):
    frames = [frame_of(event(number, set=patch)) for number, patch in enumerate(patches)]
    cut = data.draw(st.integers(0, len(frames)))

    picture = fold(frames[:cut])
    for frame in frames[cut:]:
        picture[frame.id] = apply_frame(picture.get(frame.id, {}), frame)

    assert picture == fold(frames)
