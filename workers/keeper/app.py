"""The node as a Celery worker: its own app, one queue, a pool of threads.

Tasks: `keeper.execute(assignment, parents)` and `keeper.attest(call)`. Messages are acknowledged as they
start and results are off: the database asks again where something was lost. A message may be the head of a
chain: what this keeper returns goes to the next keeper with what follows, and where nothing good came out
the chain ends here. `keeper.abort(attempts)` is a remote-control command, not a task, because it must reach a
node whose threads are all busy. Nothing a message can hold ends the worker: what is refused is logged with
its code.
"""

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from celery import Celery, signals
from celery.exceptions import Ignore
from celery.worker.control import control_command
from kombu import Queue

from apps.content.errors import ContentUnavailable, ContentUrlInvalid
from apps.content.store import open_store
from apps.kernel.errors import DomainError
from apps.kernel.ids import from_wire
from apps.kernel.trace import Trace, new_trace, set_current_trace, trace_from_headers
from workers.keeper.answers import AnswerBook
from workers.keeper.attest import attest
from workers.keeper.broker import IntakeSender, broker_options
from workers.keeper.check_in import CheckInThread
from workers.keeper.config import ConfigInvalid, KeeperConfig, read_config
from workers.keeper.errors import WorkAborted
from workers.keeper.execute import execute
from workers.keeper.executor import open_executor
from workers.keeper.keystore import Identity, KeystoreInvalid, load_keystore
from workers.keeper.leases import Leases
from workers.keeper.logs import set_up_logging
from workers.keeper.node import Node
from workers.keeper.outbox import Outbox
from workers.keeper.revoked import install_revoked_stamps
from workers.keeper.rpc import ChainRpc
from workers.keeper.sandbox.errors import SandboxUnavailable

PREFETCH_MULTIPLIER: Final = 2
#: how many characters of a returned receipt Flower is told
RESULT_SHOWN: Final = 64
EXIT_CONFIG: Final = 2
_log = logging.getLogger("forekeep.keeper")


def main(environ: Mapping[str, str]) -> int:
    """Run one node until it is told to stop; the exit code, 2 where it cannot start as it is set up."""
    try:
        config = read_config(environ)
        identity = load_keystore(config.keystore)
        set_up_logging(keeper=identity.address, level=config.log_level)
        return run(config, identity)
    except (ConfigInvalid, KeystoreInvalid, SandboxUnavailable, ContentUrlInvalid, ContentUnavailable) as exc:
        sys.stderr.write(f"the keeper cannot start. {exc}\n")
        return EXIT_CONFIG


def run(config: KeeperConfig, identity: Identity) -> int:
    """Put the node together, work until SIGTERM or SIGINT, take it apart; the worker's exit code."""
    app = build_app(config, identity.address)
    node = open_node(config, identity, app)
    check_in = CheckInThread(config, identity, node.executor.languages)
    add_tasks(app, node)

    def stop() -> None:
        check_in.stop()
        node.stop()

    def stop_soon(**_: Any) -> None:
        # in a thread of its own: a signal handler must not wait for locks of the thread it interrupts
        threading.Thread(target=stop, name="stop").start()

    signals.worker_shutting_down.connect(stop_soon, weak=False)
    signals.worker_ready.connect(lambda **_: check_in.start(), weak=False)
    node.outbox.start()
    worker = app.Worker(
        hostname=f"keeper@{identity.address}",
        pool_cls="threads",
        concurrency=config.concurrency,
        loglevel=config.log_level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    _log.info("keeper starts", extra={"facts": {"name": config.name, "concurrency": config.concurrency}})
    try:
        worker.start()
    finally:
        stop()
        node.close()
    return int(worker.exitcode or 0)


def open_node(config: KeeperConfig, identity: Identity, app: Celery) -> Node:
    """Everything a node works with. Raises SandboxUnavailable, ContentUrlInvalid, ContentUnavailable."""
    config.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_local = config.content_url.startswith("file:")
    return Node(
        identity=identity,
        domain=config.domain,
        dispatcher=config.dispatcher_address,
        gas_tolerance_percent=config.gas_tolerance_percent,
        time_tolerance_seconds=config.time_tolerance_seconds,
        expiry_tolerance_seconds=config.expiry_tolerance_seconds,
        store=open_store(config.content_url, None if is_local else config.cache_dir / "content"),
        chain=ChainRpc(config.chain_rpc_url),
        executor=open_executor(config),
        answers=AnswerBook(config.cache_dir / "answers.jsonl"),
        leases=Leases(),
        outbox=Outbox(IntakeSender(app)),
    )


def build_app(config: KeeperConfig, address: str) -> Celery:
    """The node's Celery app; it shares nothing with the control plane's but the broker."""
    queue = f"keeper.{address}"
    app = Celery("forekeep.keeper", set_as_current=False, events="workers.messaging:GatheredEvents")
    app.conf.update(
        **broker_options(config.broker_url),
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        task_queues=(Queue(queue),),
        task_default_queue=queue,
        task_acks_late=False,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
        worker_prefetch_multiplier=PREFETCH_MULTIPLIER,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
    )
    signals.setup_logging.connect(_keep_logging, weak=False)
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return app


def add_tasks(app: Celery, node: Node) -> None:
    """Register the two tasks and the abort command for this node, and keep revocations within bounds."""
    revoked = install_revoked_stamps()

    @app.task(name="keeper.execute", bind=True, resultrepr_maxsize=RESULT_SHOWN)
    def execute_task(self: Any, receipts: Any = None, *, assignment: Any, parents: Any = ()) -> list[Any]:
        """Carry out one assignment; its receipt, for the keepers whose tasks follow it."""
        if revoked.is_revoking(self.request):
            _log.info("assignment revoked")
            raise Ignore()
        done = run_guarded(
            "assignment",
            self.request,
            lambda: execute(node, assignment, parents=parents, receipts=receipts),
        )
        if not done and self.request.chain:
            raise Ignore()
        return list(done)

    @app.task(name="keeper.attest", bind=True)
    def attest_task(self: Any, call: Any) -> None:
        """Judge one round."""
        run_guarded("round", self.request, lambda: attest(node, call))

    @control_command(name="keeper.abort", variadic="attempts", signature="[<task>:<epoch> …]")
    def abort(state: Any, attempts: Any, **_: Any) -> dict[str, Any]:
        """Stop the work on attempts of tasks, now or when it comes; those that ran and are killed."""
        del state
        return {"killed": abort_attempts(node, attempts)}


def abort_attempts(node: Node, attempts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Abort attempts given as (task, epoch); return those that were running.

    Raises IdMalformed, TypeError, ValueError before anything is aborted.
    """
    named = [(from_wire("task", task), int(epoch), task) for task, epoch in attempts]
    return [(task, epoch) for task_id, epoch, task in named if node.leases.abort(task_id, epoch)]


def run_guarded(
    what: str, request: Any, work: Callable[[], Sequence[Mapping[str, Any]] | None]
) -> Sequence[Mapping[str, Any]]:
    """Do the work of one message in its trace and return what came of it; nothing it raises leaves here."""
    set_current_trace(trace_of_request(request))
    try:
        return work() or ()
    except WorkAborted:
        _log.info(f"{what} aborted")
    except DomainError as exc:
        facts = {"code": exc.code, **exc.fields}
        _log.warning(f"{what} refused", extra={"facts": facts})
    except Exception:
        _log.exception(f"{what} failed unexpectedly")
    finally:
        set_current_trace(None)
    return ()


def trace_of_request(request: Any) -> Trace:
    """The trace of a message's `traceparent` header, a fresh one where it has none."""
    headers = getattr(request, "headers", None) or {}
    traceparent = getattr(request, "traceparent", None) or headers.get("traceparent")
    return trace_from_headers(traceparent, None) if isinstance(traceparent, str) else new_trace()


def _keep_logging(**_: Any) -> None:
    """Celery configures no logging: `logs.py` has."""
