"""What a node says to the chain and to the control plane, and what it makes of the answers."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from apps.execution.domain.action import Action
from apps.keepers.data import check_in_from_json, registration_from_json
from apps.kernel import bls
from apps.kernel.eip712 import require_signer
from apps.kernel.errors import Invalid
from apps.kernel.trace import Trace, current_trace, set_current_trace
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import make_identity
from tests.unit.keeper_node.test_setting_up import GIVEN
from workers.keeper.app import run_guarded, trace_of_request
from workers.keeper.check_in import CheckInThread
from workers.keeper.config import read_config
from workers.keeper.errors import BlockUnavailable, ChainUnavailable, ControlPlaneRefused, WorkAborted
from workers.keeper.measures import Measures, measures_of
from workers.keeper.patience import keep_trying
from workers.keeper.rpc import ChainRpc

ACTION = Action(target="0x" + "77" * 20, call_data=b"\x01\x02\x03\x04", gas_limit=50_000)
HUB = "0x" + "ab" * 20

Handler = Callable[[httpx2.Request], httpx2.Response]


def _rpc(handler: Handler) -> ChainRpc:
    chain = ChainRpc("http://chain.test")
    chain._client.close()
    chain._client = httpx2.Client(transport=httpx2.MockTransport(handler))
    return chain


def _answers(**by_method: Any) -> Handler:
    """A node that answers each method with a result or an error."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        answers = []
        for call in json.loads(request.content):
            answer = by_method.get(call["method"], {"result": "0x1"})
            answers.append({"jsonrpc": "2.0", "id": call["id"], **answer})
        return httpx2.Response(200, json=answers[::-1])

    return handle


def _error(code: int, message: str, data: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "data": data}}


def test_a_call_that_works_has_its_gas() -> None:
    chain = _rpc(_answers(eth_getCode={"result": "0x60"}, eth_estimateGas={"result": "0xa112"}))

    (simulation,) = chain.simulate([ACTION], sender=HUB, block=17)

    assert (simulation.block, simulation.gas_used, simulation.failure) == (17, 0xA112, None)
    chain.close()


def test_many_calls_are_one_request_at_one_block() -> None:
    seen: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        return _answers(eth_getCode={"result": "0x60"})(request)

    chain = _rpc(handle)
    assert len(chain.simulate([ACTION] * 5, sender=HUB, block=17)) == 5

    (calls,) = seen
    assert len(calls) == 15
    assert {call["params"][-1] for call in calls} == {"0x11"}
    assert {call["params"][0]["from"] for call in calls if call["method"] != "eth_getCode"} == {HUB}
    (gas,) = {call["params"][0]["gas"] for call in calls if call["method"] == "eth_call"}
    assert int(gas, 16) == 50_000 + 21_000 + 4 * 40
    chain.close()


def test_no_calls_are_no_request() -> None:
    chain = ChainRpc("http://127.0.0.1:1")
    assert chain.simulate([], sender=HUB, block=1) == ()
    chain.close()


REASON = "0x08c379a0" + f"{32:064x}" + f"{3:064x}" + b"day".hex().ljust(64, "0")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (_error(3, "execution reverted: day", REASON), "day"),
        (_error(3, "execution reverted", "0x"), "execution reverted"),
        (_error(3, "execution reverted", "0x08c379a0"), "execution reverted"),
        (_error(-32603, "EVM error OutOfGas"), "EVM error OutOfGas"),
        (_error(-32003, "Out of gas: gas required exceeds allowance: 1"), "Out of gas: gas required"),
        (_error(-32000, "invalid opcode: INVALID"), "invalid opcode"),
    ],
)
def test_a_call_that_fails_says_why(error: dict[str, Any], failure: str) -> None:
    for method in ("eth_call", "eth_estimateGas"):
        chain = _rpc(_answers(eth_getCode={"result": "0x60"}, **{method: error}))
        (simulation,) = chain.simulate([ACTION], sender=HUB, block=17)
        assert (simulation.failure or "").startswith(failure)
        assert simulation.gas_used == 0
        chain.close()


def test_a_target_without_code_fails() -> None:
    chain = _rpc(_answers(eth_getCode={"result": "0x"}))
    (simulation,) = chain.simulate([ACTION], sender=HUB, block=17)
    assert simulation.failure == "the target is no contract"
    chain.close()


@pytest.mark.parametrize(
    "message", ["BlockOutOfRangeError: block height is 0", "header not found", "missing trie node 12"]
)
def test_a_block_whose_state_is_gone_is_told_apart(message: str) -> None:
    chain = _rpc(_answers(eth_getCode={"result": "0x60"}, eth_call=_error(-32602, message)))
    with pytest.raises(BlockUnavailable):
        chain.simulate([ACTION], sender=HUB, block=17)
    chain.close()


def _raise_timeout(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectTimeout("slow", request=request)


@pytest.mark.parametrize(
    "handler",
    [
        _answers(eth_getCode={"result": "0x60"}, eth_call=_error(-32005, "limit exceeded")),
        _answers(eth_getCode={"result": None}),
        _answers(eth_getCode={"result": "0x60"}, eth_estimateGas={"result": "many"}),
        lambda request: httpx2.Response(502, text="bad gateway"),
        lambda request: httpx2.Response(200, text="not json"),
        lambda request: httpx2.Response(200, json=[]),
        lambda request: httpx2.Response(200, json={"error": "no batches"}),
        _raise_timeout,
    ],
)
def test_a_node_that_gives_no_answer_is_unavailable(handler: Handler) -> None:
    chain = _rpc(handler)
    with pytest.raises(ChainUnavailable):
        chain.simulate([ACTION], sender=HUB, block=17)
    chain.close()


class ControlPlane:
    """The control plane's two doors."""

    def __init__(self, *, knows: bool = True) -> None:
        self.knows = knows
        self.status = 200
        self.code = ""
        self.seen: list[tuple[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as apps/keepers does."""
        path, body = request.url.path, json.loads(request.content)
        self.seen.append((path, body))
        if self.status != 200:
            return httpx2.Response(self.status, json={"code": self.code})
        if path == "/keeper/register":
            self.knows = True
            return httpx2.Response(201, json={})
        if not self.knows:
            return httpx2.Response(404, json={"code": "keeper_unknown"})
        return httpx2.Response(200, json={})


def _check_in(control_plane: Any, languages: Sequence[str] = ("python",)) -> Any:
    thread = CheckInThread(read_config(GIVEN), make_identity(), languages)
    thread._client.close()
    thread._client = httpx2.Client(transport=httpx2.MockTransport(control_plane))
    return thread


def test_a_check_in_is_signed_and_its_nonces_grow() -> None:
    control_plane = ControlPlane()
    thread = _check_in(control_plane)

    for _ in range(3):
        thread.check_in()

    parsed = [check_in_from_json(body) for _, body in control_plane.seen]
    for message, signature in parsed:
        require_signer(message.digest(DOMAIN), signature, thread._identity.address)
    nonces = [message.nonce for message, _ in parsed]
    assert nonces == sorted(set(nonces))
    thread.stop()


def test_a_node_nobody_knows_registers_itself_first() -> None:
    control_plane = ControlPlane(knows=False)
    thread = _check_in(control_plane)

    thread.check_in()

    assert [path for path, _ in control_plane.seen] == [
        "/keeper/checkin",
        "/keeper/register",
        "/keeper/checkin",
    ]
    message, signature = registration_from_json(control_plane.seen[1][1])
    require_signer(message.digest(DOMAIN), signature, thread._identity.address)
    assert bls.verify_possession(message.bls_public_key, message.keeper, message.possession)
    assert message.capabilities == ("chain:31337", "python")
    nonces = [body["nonce"] for _, body in control_plane.seen]
    assert nonces == sorted(set(nonces))
    thread.stop()


def test_a_known_node_that_runs_more_than_python_says_so_once_after_its_start() -> None:
    control_plane = ControlPlane()
    thread = _check_in(control_plane, ("python", "javascript", "typescript"))

    for _ in range(3):
        thread.check_in()

    check_in, register = "/keeper/checkin", "/keeper/register"
    assert [path for path, _ in control_plane.seen] == [check_in, register, check_in, check_in]
    message, _ = registration_from_json(control_plane.seen[1][1])
    assert message.capabilities == ("chain:31337", "javascript", "python", "typescript")
    thread.stop()


def test_a_refusal_is_told_with_its_code() -> None:
    control_plane = ControlPlane()
    control_plane.status, control_plane.code = 409, "checkin_replayed"
    thread = _check_in(control_plane)

    with pytest.raises(ControlPlaneRefused) as caught:
        thread.check_in()

    assert (caught.value.status, caught.value.reason) == (409, "checkin_replayed")
    thread.stop()


def test_failed_check_ins_are_tried_again_sooner_than_regular_ones() -> None:
    thread = _check_in(ControlPlane())

    assert thread._pause_seconds(0) == 60
    assert 0.25 <= thread._pause_seconds(1) <= 0.5
    assert all(thread._pause_seconds(failures) <= 60 for failures in range(1, 60))
    thread.stop()


def test_outside_failures_are_tried_again_until_the_time_is_over() -> None:
    failures: list[Exception] = [ChainUnavailable(reason="down")] * 2

    def ask() -> int:
        if failures:
            raise failures.pop()
        return 5

    assert keep_trying(ask, until=time.time() + 10, stopping=threading.Event()) == 5
    failures.extend([ChainUnavailable(reason="down")])
    with pytest.raises(ChainUnavailable):
        keep_trying(ask, until=time.time(), stopping=threading.Event())


def test_a_stopping_node_does_not_wait() -> None:
    stopping = threading.Event()
    stopping.set()

    def ask() -> int:
        raise ChainUnavailable(reason="down")

    with pytest.raises(WorkAborted):
        keep_trying(ask, until=time.time() + 1_000, stopping=stopping)


def test_measures_are_whole_numbers_rounded_up() -> None:
    measures = measures_of(cpu_seconds=0.0101, wall_seconds=0.015, peak_memory_bytes=9 * 1024 * 1024)

    assert (measures.cpu_ms, measures.wall_ms) == (11, 15)
    assert measures.compute_units == 12
    assert Measures().compute_units == 0
    assert Measures(cpu_ms=5, wall_ms=100, peak_memory_bytes=512 * 1024 * 1024).compute_units == 105


def test_nothing_a_message_holds_leaves_the_guard() -> None:
    def refuse() -> None:
        raise Invalid(reason="no")

    def abort() -> None:
        raise WorkAborted()

    def break_down() -> None:
        raise RuntimeError("a bug")

    for work in (refuse, abort, break_down):
        assert run_guarded("assignment", SimpleNamespace(headers=None), work) == ()


def test_what_the_work_returns_is_handed_on() -> None:
    assert run_guarded("assignment", SimpleNamespace(headers=None), lambda: [{"a": 1}]) == [{"a": 1}]


def test_a_message_is_worked_on_in_its_own_trace() -> None:
    trace = Trace(trace_id="ab" * 16, span_id="cd" * 8)
    seen: list[str] = []

    run_guarded(
        "assignment",
        SimpleNamespace(headers={"traceparent": trace.traceparent}),
        lambda: seen.append(current_trace().trace_id),
    )

    assert seen == ["ab" * 16]
    assert trace_of_request(SimpleNamespace(traceparent=trace.traceparent)).trace_id == "ab" * 16
    assert trace_of_request(SimpleNamespace(headers={"traceparent": 5})).trace_id != "ab" * 16
    set_current_trace(None)
