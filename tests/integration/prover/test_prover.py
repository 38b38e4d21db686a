import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from apps.proofs.data import ProofRequest, TaskWitness
from apps.proofs.domain.statement import compute_statement
from apps.proofs.errors import (
    ProofCancelled,
    ProofFailed,
    ProofTimedOut,
    ProverUnavailable,
    ProvingKeyCorrupt,
    ProvingKeyMissing,
    WitnessInvalid,
)
from apps.proofs.groth16 import verify
from apps.proofs.keys import compute_key_path, read_verifying_key
from tests.integration.prover.conftest import children_of, facts_of, is_alive
from tests.support.proofs import make_witness
from tests.support.source import ROOT
from tests.support.waiting import wait_until
from workers.prover.client import ProverClient
from workers.prover.process import ProverProcess
from workers.prover.wire import encode_frame, receive_frame

LONG = 120.0


def request(handle, task_id=7, **fields):
    return ProofRequest(
        **{"handle": handle, "witness": make_witness(task_id), "timeout_seconds": LONG, **fields}
    )


class Asking(threading.Thread):
    """Asks for a proof beside the test; `outcome` is the result or the error."""

    def __init__(self, client, wanted):
        super().__init__(daemon=True)
        self._client, self._wanted = client, wanted
        self.outcome = None
        self.start()

    def run(self):
        try:
            self.outcome = self._client.prove(self._wanted)
        except Exception as exc:
            self.outcome = exc

    def wait(self):
        self.join(LONG)
        return self.outcome


def test_a_proof_from_the_prover_verifies_and_says_what_it_cost(prover, keys):
    result = prover.prove(request("p"))
    statement = compute_statement(make_witness())
    assert result.public_input == statement.public_input
    assert verify(read_verifying_key(keys, 16), [statement.public_input], result.proof)
    assert result.cpu_seconds > 0
    assert result.wall_seconds > 0
    assert result.delay_seconds == 0
    assert result.peak_memory_bytes > 1 << 20


def test_a_proof_runs_niced_in_a_process_group_of_its_own(process, prover):
    asking = Asking(prover, request("p", delay_seconds=60))
    (child,) = wait_until(lambda: children_of(process.pid))
    wait_until(lambda: facts_of(child)[0] == child)
    assert facts_of(child)[1] == facts_of(process.pid)[1] == min(os.nice(0) + 15, 19)
    assert facts_of(process.pid)[0] == process.pid != os.getpgid(0)
    prover.cancel("p")
    assert isinstance(asking.wait(), ProofCancelled)


def test_cancelling_kills_the_process_at_once(process, prover):
    asking = Asking(prover, request("p", delay_seconds=60))
    (child,) = wait_until(lambda: children_of(process.pid))
    began = time.perf_counter()
    assert ProverClient(process.client.path).cancel("p")
    took = time.perf_counter() - began
    assert not is_alive(child)
    assert isinstance(asking.wait(), ProofCancelled)
    assert not prover.cancel("p")
    print(f"cancelled and dead after {took * 1000:.1f} ms")
    assert took < 5


def test_a_late_proof_is_killed(process, prover):
    began = time.perf_counter()
    with pytest.raises(ProofTimedOut) as late:
        prover.prove(request("p", timeout_seconds=0.2))
    assert late.value.seconds == 0.2
    assert time.perf_counter() - began < 10
    assert not children_of(process.pid)


def test_hanging_up_kills_the_proof(process, prover):
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(str(process.client.path))
    caller.sendall(encode_frame(body_of(request("p", delay_seconds=60))))
    (child,) = wait_until(lambda: children_of(process.pid))
    caller.close()
    wait_until(lambda: not is_alive(child))


def test_what_has_no_free_slot_waits_its_turn(process, prover):
    askings = [Asking(prover, request(f"p{n}", delay_seconds=60)) for n in range(3)]
    wait_until(lambda: prover.get_status()["running"] == 2 and prover.get_status()["waiting"] == 1)
    last = Asking(prover, request("last"))
    wait_until(lambda: prover.get_status()["waiting"] == 2)
    assert len(children_of(process.pid)) == 2
    for number in range(3):
        prover.cancel(f"p{number}")
    result = last.wait()
    assert result.waited_seconds > 0
    assert all(isinstance(asking.wait(), ProofCancelled) for asking in askings)


def test_one_handle_asked_for_twice_is_proved_once(process, prover):
    askings = [Asking(prover, request("same", delay_seconds=0.5)) for _ in range(2)]
    results = [asking.wait() for asking in askings]
    assert results[0].proof == results[1].proof
    assert results[0].delay_seconds == 0.5


def test_a_proof_whose_process_dies_fails(process, prover):
    asking = Asking(prover, request("p", delay_seconds=60))
    (child,) = wait_until(lambda: children_of(process.pid))
    os.kill(child, signal.SIGKILL)
    assert isinstance(asking.wait(), ProofFailed)


def test_a_false_witness_is_refused_by_its_own_error(prover):
    witness = make_witness()
    false = TaskWitness(size=16, task_id=1 << 128, inputs=(), program=witness.program, salt=1)
    with pytest.raises(WitnessInvalid):
        prover.prove(request("p", witness=false))


def test_a_size_without_a_key_is_refused(prover):
    with pytest.raises(ProvingKeyMissing):
        prover.prove(request("p", witness=make_witness(inputs=9)))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"do": "dance"},
        {"do": "prove"},
        {"do": "prove", "handle": "p", "witness": {}, "timeout_seconds": 1, "delay_seconds": 0},
        {"do": "prove", "handle": "p\n", "witness": {}, "timeout_seconds": 1, "delay_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": -1},
        {"timeout_seconds": "1"},
        {"delay_seconds": 1e9},
        {"witness": [1]},
    ],
    ids=str,
)
def test_a_malformed_request_is_answered_and_the_prover_goes_on(prover, process, body):
    whole = {**body_of(request("p")), **body} if "do" not in body and body else body
    answer = talk(process, encode_frame(whole))
    assert answer["ok"] is False
    assert answer["code"] in ("prover_unavailable", "witness_invalid")
    assert prover.get_status()["ok"]


@pytest.mark.parametrize("data", [b"\0\0\0\2{]", struct.pack(">I", 1 << 30), b"\0\0\0\1[]", b"\0\0\0\2[]"])
def test_a_broken_frame_is_hung_up_on_and_the_prover_goes_on(prover, process, data):
    assert talk(process, data) is None
    assert prover.get_status()["ok"]


def test_nobody_else_may_reach_the_socket(process, prover):
    path = process.client.path
    assert path.stat().st_mode & 0o077 == 0


def test_a_second_prover_on_one_socket_does_not_start(process, keys, prover):
    with pytest.raises(ProverUnavailable):
        ProverProcess(socket=process.client.path, keys=keys).start()
    assert prover.get_status()["ok"]


def test_nobody_at_the_socket_is_an_error_of_its_own(tmp_path):
    with pytest.raises(ProverUnavailable):
        ProverClient(tmp_path / "nobody.sock").prove(request("p"))


def test_a_killed_prover_takes_its_proofs_along_and_a_new_one_takes_its_place(keys, tmp_path):
    socket_path = tmp_path / "p.sock"
    first = ProverProcess(socket=socket_path, keys=keys)
    first.start()
    wait_until(lambda: first.client.get_status()["sizes"] == [16], timeout_seconds=60)
    asking = Asking(first.client, request("p", delay_seconds=60))
    (child,) = wait_until(lambda: children_of(first.pid))
    os.kill(first.pid, signal.SIGKILL)
    assert isinstance(asking.wait(), ProverUnavailable)
    wait_until(lambda: not is_alive(child))
    with ProverProcess(socket=socket_path, keys=keys, environ={"FOREKEEP_PROOFS_SIZES": "16"}) as second:
        assert second.client.get_status()["ok"]
    assert not socket_path.exists()
    first.stop()


def test_stopping_ends_the_proofs_under_way(keys, tmp_path):
    with ProverProcess(socket=tmp_path / "p.sock", keys=keys) as started:
        asking = Asking(started.client, request("p", delay_seconds=60))
        wait_until(lambda: started.client.get_status()["running"] == 1, timeout_seconds=60)
        (child,) = children_of(started.pid)
    assert isinstance(asking.wait(), ProverUnavailable)
    assert not is_alive(child)


def test_a_corrupt_key_fails_the_proofs_that_need_it_and_nothing_else(keys, tmp_path):
    path = compute_key_path(tmp_path, 16)
    path.write_bytes(compute_key_path(keys, 16).read_bytes()[:-7])
    with ProverProcess(socket=tmp_path / "p.sock", keys=tmp_path) as started:
        for _ in range(2):
            with pytest.raises(ProvingKeyCorrupt):
                started.client.prove(request("p"))
        assert started.client.get_status()["waiting"] == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"FOREKEEP_PROOFS_GENERATIONS": "0"},
        {"FOREKEEP_PROOFS_PROVER_NICE": "x"},
        {"FOREKEEP_PROOFS_SIZES": "17"},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_used_stops_the_start(keys, tmp_path, environ):
    with pytest.raises(ProverUnavailable):
        ProverProcess(socket=tmp_path / "p.sock", keys=keys, environ=environ).start()


def body_of(wanted):
    return {
        "do": "prove",
        "handle": wanted.handle,
        "witness": wanted.witness.to_json(),
        "timeout_seconds": wanted.timeout_seconds,
        "delay_seconds": wanted.delay_seconds,
    }


def talk(process, data):
    """Send bytes; the answer, or None where the prover hangs up."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(10)
        caller.connect(str(process.client.path))
        caller.sendall(data)
        try:
            return receive_frame(caller)
        except Exception:
            return None


def test_a_prover_ends_with_the_process_it_was_started_for(keys, tmp_path):
    script = (
        "import sys; from pathlib import Path; from workers.prover.process import ProverProcess;"
        "prover = ProverProcess(socket=Path(sys.argv[1]), keys=Path(sys.argv[2]));"
        "prover.start(); print(prover.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "p.sock"), str(keys)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        server = int(owner.stdout.readline())
        assert is_alive(server)
        owner.kill()
    wait_until(lambda: not is_alive(server))
