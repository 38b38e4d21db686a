"""The control plane's Celery app: hints that a stage has work, never the truth.

A message may be lost or repeated at any moment and nothing is lost or doubled: the rows decide. So
messages are acknowledged early, results are off, ids travel as JSON, and the trace rides in the
`traceparent` header.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import structlog
from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject, Retry
from django.db import close_old_connections
from kombu import Producer, Queue

from apps.kernel.trace import Trace, current_trace, new_trace, set_current_trace, trace_from_headers
from project.env import Broker, settings_or_exit
from project.metrics import TASK_SECONDS, TASKS_TOTAL, metrics_process_ended
from scheduling.beat import beat_schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

STAGES_QUEUE: Final = "stages"
INTAKE_QUEUE: Final = "intake"
PROVE_QUEUE: Final = "prove"
NOTICES_QUEUE: Final = "notices"
#: Celery would open a database connection per message (5 ms on PostgreSQL, both sides together); this many
#: tasks share one, and `close_old_connections` judges it before each
_KEPT_CONNECTIONS: Final = 1_000_000_000

_log = structlog.get_logger("forekeep.celery")


class TracedTask(Task):  # type: ignore[type-arg]
    """Every control-plane task: runs in its message's trace, is counted and timed, logs its failure."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run inside the message's trace; a failure is counted, logged and raised on.

        The database connection is kept from task to task, as from request to request: what is broken or
        too old is closed first.
        """
        close_old_connections()
        set_current_trace(_trace_of(self.request))
        structlog.contextvars.bind_contextvars(task=self.name)
        started, outcome = time.perf_counter(), "succeeded"
        try:
            return super().__call__(*args, **kwargs)
        except (Ignore, Reject, Retry):
            outcome = "put_back"
            raise
        except Exception:
            outcome = "failed"
            _log.exception("task failed", task_id=self.request.id)
            raise
        finally:
            TASK_SECONDS.labels(task=self.name).observe(time.perf_counter() - started)
            TASKS_TOTAL.labels(task=self.name, outcome=outcome).inc()
            structlog.contextvars.clear_contextvars()
            set_current_trace(None)


def broker_options(broker: Broker) -> dict[str, Any]:
    """What kombu's transport is told; a lost connection is noticed and taken up again for ever.

    No copy of an unacknowledged message is kept in Redis: the database asks again for what is lost.

    `retry_on_timeout` is not among them: a push that timed out may have arrived, and with it kombu would
    refuse to send sets of messages in one round trip (`sending_together`).
    """
    if broker.amqp_url:
        return {"confirm_publish": True}
    return {
        "ack_emulation": False,
        "socket_keepalive": True,
        "socket_timeout": broker.socket_timeout_seconds,
        "socket_connect_timeout": broker.socket_timeout_seconds,
        "health_check_interval": 25,
    }


def build_app(broker: Broker) -> "Celery[TracedTask]":
    """The control plane's app over a broker."""
    built = Celery("forekeep", task_cls=TracedTask, events="workers.messaging:GatheredEvents")
    if not broker.amqp_url:
        built.conf.broker_transport = "workers.messaging:LeanTransport"
    built.conf.update(
        broker_url=broker.url,
        broker_transport_options=broker_options(broker),
        broker_heartbeat=30 if broker.amqp_url else 0,
        broker_connection_timeout=broker.socket_timeout_seconds,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        task_default_queue=STAGES_QUEUE,
        task_queues=(Queue(STAGES_QUEUE), Queue(INTAKE_QUEUE), Queue(PROVE_QUEUE), Queue(NOTICES_QUEUE)),
        task_create_missing_queues=True,
        task_acks_late=False,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
        task_send_sent_event=False,
        worker_send_task_events=True,
        worker_prefetch_multiplier=broker.prefetch_multiplier,
        worker_max_tasks_per_child=broker.max_tasks_per_child,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        beat_scheduler="scheduling.ticks:Clock",
        timezone="UTC",
        enable_utc=True,
        CELERY_DB_REUSE_MAX=_KEPT_CONNECTIONS,
    )
    return built


@contextmanager
def sending_together() -> Iterator[Producer]:
    """Send a set of messages in few round trips: `task.apply_async(…, producer=producer)` inside.

    What could not be sent raises at the end, and some of it may have arrived: these are hints, the sweep
    heals both.
    """
    with ExitStack() as stack:
        producer: Any = stack.enter_context(app.producer_pool.acquire(block=True))
        if producer.supports_batch_publish:
            stack.enter_context(producer.batch())
        yield producer


def _trace_of(request: Any) -> Trace:
    """A span in the trace a message carries; celery shows a message's headers as request attributes."""
    traceparent = getattr(request, "traceparent", None)
    return trace_from_headers(traceparent, None) if traceparent else new_trace()


@signals.before_task_publish.connect
def _send_trace(headers: dict[str, Any] | None = None, **_kwargs: Any) -> None:
    """Every message leaves with its sender's trace, however it is sent."""
    if headers is not None:
        headers.setdefault("traceparent", current_trace().traceparent)


@signals.worker_process_shutdown.connect
def _forget_gauges(pid: int = 0, **_kwargs: Any) -> None:
    metrics_process_ended(pid)


@signals.setup_logging.connect
def _keep_django_logging(**_kwargs: Any) -> None:
    """Celery configures no logging of its own: Django's settings have done so."""


_settings = settings_or_exit()
app = build_app(_settings.broker)
app.conf.imports = (
    "workers.stages",
    "workers.intake",
    "workers.proving",
    "scheduling.sweeps",
    "scheduling.ticks",
    "scheduling.events",
    "workers.notices",
)
app.conf.beat_schedule = beat_schedule(_settings)
