"""Webhooks over the guarded client: all of a set at once, the answers as they come."""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Final

import structlog
from django.conf import settings

from apps.egress.client import EgressClient
from apps.egress.data import EgressLimits, Request
from apps.egress.errors import AddressRefused, UrlInvalid, UrlSchemeRefused
from apps.egress.terms import limits_from_settings
from apps.kernel.errors import DomainError
from apps.notices.data import Answer, Outgoing

_TEXT_BYTES: Final = 2_000
#: no later try cures these
_FINAL: Final = (AddressRefused, UrlInvalid, UrlSchemeRefused)
_log: Final = structlog.get_logger("forekeep.notices")


class GuardedSender:
    """Sends on an event loop of its own thread, so that answers are written while others are waited for."""

    def __init__(self, limits: EgressLimits) -> None:
        self._limits = limits

    def send(self, requests: Sequence[Outgoing]) -> Iterable[Sequence[tuple[Outgoing, Answer]]]:
        """Every request with its answer, in sets: whatever has come when the last set was written."""
        if not requests:
            return
        answered: SimpleQueue[tuple[Outgoing, Answer]] = SimpleQueue()
        sending = threading.Thread(
            target=lambda: asyncio.run(self._send_all(requests, answered)), name="webhooks", daemon=True
        )
        sending.start()
        left = len(requests)
        while left:
            some = [answered.get()]
            while len(some) < left:
                try:
                    some.append(answered.get_nowait())
                except Empty:
                    break
            left -= len(some)
            yield some
        sending.join()

    async def _send_all(
        self, requests: Sequence[Outgoing], answered: "SimpleQueue[tuple[Outgoing, Answer]]"
    ) -> None:
        async def send_one(request: Outgoing) -> None:
            answered.put((request, await self._answer(client, request)))

        async with EgressClient(self._limits) as client:
            await asyncio.gather(*(send_one(request) for request in requests))

    async def _answer(self, client: EgressClient, request: Outgoing) -> Answer:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._limits.timeout_seconds + 1):
                return await _post(client, request)
        except DomainError as exc:
            return Answer(error=exc.code, is_final=isinstance(exc, _FINAL), took_ms=_ms_since(began))
        except TimeoutError:
            return Answer(error="source_timeout", took_ms=_ms_since(began))
        except Exception as exc:
            _log.warning("a webhook could not be sent", error=type(exc).__name__)
            return Answer(error="not_sent", took_ms=_ms_since(began))


def webhook_sender() -> GuardedSender:
    """The sender within the deployment's limits."""
    seconds = settings.FOREKEEP.notices.timeout_seconds
    return GuardedSender(replace(limits_from_settings(), timeout_seconds=seconds))


async def _post(client: EgressClient, request: Outgoing) -> Answer:
    began = time.perf_counter()
    response = await client.fetch(
        Request(url=request.url, method="POST", headers=request.headers, body=request.body),
        raise_for_status=False,
        keep_bytes=_TEXT_BYTES,
    )
    asked = "" if response.retry_after is None else str(round(response.retry_after))
    text = response.body.decode(errors="replace")
    return Answer(status=response.status, text=text, retry_after=asked, took_ms=_ms_since(began))


def _ms_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1_000)
