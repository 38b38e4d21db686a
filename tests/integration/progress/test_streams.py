"""Event streams over ASGI: order, resumption, ends, limits. The database is the only source."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from apps.accounts.data import IssuedKey
from apps.accounts.models import Project
from apps.eventlog.models import Event
from apps.kernel.ids import new_id, to_wire
from apps.progress.streams.slots import SLOTS
from apps.progress.streams.tail import get_tail
from tests.factories.accounts import make_key, make_project
from tests.factories.jobs import SCRIPT
from tests.factories.spine import Spine, make_run
from tests.support.sse import EventStream, in_thread, open_stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(transactional_db: None) -> Project:
    return make_project()


@pytest.fixture
def bearer(project: Project) -> dict[str, str]:
    return bearer_of(make_key(project))


def bearer_of(key: IssuedKey) -> dict[str, str]:
    return {"authorization": f"Bearer {key.secret}"}


def stream_path(spine: Spine) -> str:
    return f"/api/v1/runs/{to_wire('run', spine.run.id)}/stream"


def sequences_of(spine: Spine) -> list[int]:
    found = Event.objects.filter(run_id=spine.run.id).order_by("sequence_number")
    return list(found.values_list("sequence_number", flat=True))


def run(steps: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(steps(), 60))


def test_a_run_is_streamed_from_its_first_event_in_order_and_ends_with_it(
    project: Project, bearer: dict[str, str]
):
    spine = make_run(project=project)
    wanted = sequences_of(spine)

    async def steps() -> None:
        async with open_stream(stream_path(spine), **bearer) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-store"
            messages = await stream.until_end()
        assert messages[0].fields == {"retry": "1000"}
        assert [int(message.id) for message in messages if message.event == "frame"] == wanted
        assert messages[-1].event == "end"

    run(steps)


def test_what_happens_while_a_stream_is_open_arrives_soon(project: Project, bearer: dict[str, str]):
    spine = make_run({}, project=project, steps=("load", "publish"))
    before = len(sequences_of(spine))

    async def steps() -> None:
        async with open_stream(stream_path(spine), **bearer) as stream:
            await stream.frames(before)
            await in_thread(lambda: spine.to("load", "executing"))
            arrived = await stream.frames(3)
        assert [frame["type"] for frame in arrived] == ["task.scheduled", "task.assigned", "task.executing"]
        assert arrived[-1]["patch"]["status"] == "executing"
        assert arrived[-1]["id"] == str(spine.tasks["load"])
        assert arrived[1]["patch"]["performer"] == spine.tasks["load"].performer

    run(steps)


def test_a_stream_resumes_after_the_last_event_the_client_has_seen(project: Project, bearer: dict[str, str]):
    spine = make_run(project=project, steps=("load",))
    wanted = sequences_of(spine)

    async def read(**headers: str) -> list[int]:
        async with open_stream(stream_path(spine), **bearer, **headers) as stream:
            return [int(m.id) for m in await stream.until_end() if m.event == "frame"]

    assert run(lambda: read(last_event_id=str(wanted[2]))) == wanted[3:]
    assert run(lambda: read(last_event_id=str(wanted[-1]))) == []


def test_the_header_of_a_resuming_browser_wins_over_the_address(project: Project, bearer: dict[str, str]):
    spine = make_run(project=project, steps=("load",))
    wanted = sequences_of(spine)

    async def steps() -> list[int]:
        address = f"{stream_path(spine)}?after={wanted[0]}"
        async with open_stream(address, last_event_id=str(wanted[3]), **bearer) as stream:
            return [int(m.id) for m in await stream.until_end() if m.event == "frame"]

    assert run(steps) == wanted[4:]


@pytest.mark.parametrize("position", ["-1", "x", "9" * 30, "1.5"])
def test_a_position_that_is_no_number_is_refused(position: str, project: Project, bearer: dict[str, str]):
    spine = make_run({}, project=project, steps=("load",))

    async def steps() -> EventStream:
        async with open_stream(stream_path(spine), last_event_id=position, **bearer) as stream:
            return stream

    refused = run(steps)
    assert refused.status == 422
    assert b"stream_position_invalid" in refused.body
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_foreign_run_has_no_stream(bearer: dict[str, str]):
    spine = make_run({}, project=make_project(), steps=("load",))

    async def steps() -> EventStream:
        async with open_stream(stream_path(spine), **bearer) as stream:
            return stream

    assert run(steps).status == 404


def test_a_stream_needs_a_key_with_the_scope(project: Project):
    spine = make_run({}, project=project, steps=("load",))
    weak = bearer_of(make_key(project, "jobs:read"))

    async def status(**headers: str) -> int:
        async with open_stream(stream_path(spine), **headers) as stream:
            return stream.status

    assert run(status) == 401
    assert run(lambda: status(**weak)) == 403


def test_the_projects_stream_begins_now_and_carries_only_the_callers_projects(
    project: Project, bearer: dict[str, str]
):
    make_run("confirmed", project=project, steps=("load",))
    own = make_run({}, project=project, steps=("load",))
    foreign = make_run({}, project=make_project(), steps=("load",))

    async def steps() -> list[Any]:
        async with open_stream("/api/v1/events/stream", **bearer) as stream:
            await stream.next()
            await in_thread(lambda: foreign.to("load", "scheduled"))
            await in_thread(lambda: own.to("load", "scheduled"))
            return await stream.frames(2)

    assert {frame["run"] for frame in run(steps)} == {to_wire("run", own.run.id)}


def test_a_quiet_stream_is_kept_alive(
    project: Project, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    hurried = replace(settings.FOREKEEP.progress, stream_keep_alive_seconds=0.05)
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, progress=hurried))

    async def steps() -> str:
        async with open_stream("/api/v1/events/stream", **bearer) as stream:
            await stream.next()
            return (await stream.next()).comment

    assert run(steps) == "keep-alive"


def test_one_caller_may_hold_only_so_many_streams_and_gets_a_place_back_when_one_ends(
    project: Project, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    few = replace(settings.FOREKEEP.progress, streams_per_caller=2)
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, progress=few))
    path = "/api/v1/events/stream"

    async def steps() -> None:
        async with open_stream(path, **bearer) as first:
            await first.next()
            async with open_stream(path, **bearer) as second, open_stream(path, **bearer) as third:
                assert second.status == 200
                assert third.status == 429
                assert third.headers["retry-after"]
            async with open_stream(path, **bearer) as again:
                assert again.status == 200

    run(steps)


def test_a_client_that_goes_away_leaves_nothing_behind(project: Project):
    key = make_key(project)

    async def steps() -> None:
        async with open_stream("/api/v1/events/stream", **bearer_of(key)) as stream:
            await stream.next()
            assert SLOTS.count(f"key:{key.id.hex}") == 1
        assert SLOTS.count(f"key:{key.id.hex}") == 0
        assert get_tail()._thread is None
        assert get_tail()._watch is None

    run(steps)


def test_a_stream_ends_when_the_server_stops(bearer: dict[str, str]):
    async def steps() -> None:
        async with open_stream("/api/v1/events/stream", **bearer) as stream:
            await stream.next()
            get_tail().stop()
            assert await stream.until_end() == []

    run(steps)


def test_a_long_history_comes_whole_and_in_order(project: Project, bearer: dict[str, str]):
    side_by_side = [{"key": f"s{n}", "script_source": SCRIPT, "parents": []} for n in range(30)]
    spine = make_run(project=project, steps=side_by_side)
    wanted = sequences_of(spine)
    assert len(wanted) > 200

    async def steps() -> list[int]:
        async with open_stream(stream_path(spine), **bearer) as stream:
            return [int(m.id) for m in await stream.until_end() if m.event == "frame"]

    assert run(steps) == wanted


def test_a_run_that_does_not_exist_is_not_found(bearer: dict[str, str]):
    async def steps() -> int:
        async with open_stream(f"/api/v1/runs/{to_wire('run', new_id())}/stream", **bearer) as stream:
            return stream.status

    assert run(steps) == 404
