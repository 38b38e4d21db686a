"""Telling the control plane that the node lives: a signed check-in at start and every so often after.

A node the control plane does not know registers itself first, with its BLS key and the proof that it has
it; one that runs more than Python registers again once after each start, so that it is known. Nonces are
microseconds since 1970, and always above the one before, so they also grow over restarts.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx2

from apps.keepers.data import CheckIn, Registration
from apps.kernel import bls
from workers.keeper.config import VERSION, KeeperConfig
from workers.keeper.errors import ControlPlaneRefused
from workers.keeper.keystore import Identity
from workers.keeper.sandbox.data import PYTHON

CHECK_IN_PATH: Final = "/keeper/checkin"
REGISTER_PATH: Final = "/keeper/register"
_TIMEOUT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.5
#: while it fails: a keeper that is not online gets no work, and a request costs next to nothing
_LONGEST_PAUSE_SECONDS: Final = 10.0
_log = logging.getLogger("forekeep.keeper.check_in")


class CheckInThread:
    """The thread that checks in."""

    def __init__(
        self, config: KeeperConfig, identity: Identity, languages: Sequence[str] = (PYTHON,)
    ) -> None:
        self._config = config
        self._languages = tuple(languages)
        self._has_told = self._languages == (PYTHON,)
        self._identity = identity
        self._client = httpx2.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._started_at = time.monotonic()
        self._last_nonce = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="check-in", daemon=True)

    def start(self) -> None:
        """Start checking in."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a request under way is not waited for."""
        self._stopping.set()

    def check_in(self) -> None:
        """Check in once, registering first where that is asked for; raise ControlPlaneRefused, HTTPError."""
        status, answer = self._post(CHECK_IN_PATH, self._check_in())
        if status == 404 and answer.get("code") == "keeper_unknown":
            self._register()
            status, answer = self._post(CHECK_IN_PATH, self._check_in())
        elif 200 <= status < 300 and not self._has_told:
            self._register()
        _require_accepted(status, answer)

    def _register(self) -> None:
        status, answer = self._post(REGISTER_PATH, self._registration())
        _require_accepted(status, answer)
        self._has_told = True
        _log.info("registered")

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self.check_in()
                if failures:
                    _log.warning("check-in works again", extra={"facts": {"failures": failures}})
                failures = 0
            except Exception as exc:
                failures += 1
                self._complain(exc, failures)
            self._stopping.wait(self._pause_seconds(failures))

    def _pause_seconds(self, failures: int) -> float:
        """The regular interval, or less while it fails: 0.5 s · 2^n with jitter, 10 s at most."""
        regular = float(self._config.check_in_seconds)
        if not failures:
            return regular
        pause: float = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 12), regular, _LONGEST_PAUSE_SECONDS)
        return pause * random.uniform(0.5, 1.0)

    def _complain(self, exc: Exception, failures: int) -> None:
        """Say it at the first failure, then each time their number doubles."""
        if failures & (failures - 1):
            return
        is_expected = isinstance(exc, httpx2.HTTPError | ControlPlaneRefused)
        reason = str(exc) if isinstance(exc, ControlPlaneRefused) else type(exc).__name__
        facts = {"failures": failures, "reason": reason}
        _log.warning("check-in failed", exc_info=not is_expected, extra={"facts": facts})

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        response = self._client.post(
            self._config.control_url + path,
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        return response.status_code, answer if isinstance(answer, dict) else {}

    def _check_in(self) -> dict[str, Any]:
        now, nonce = self._now_and_nonce()
        return CheckIn(
            keeper=self._identity.address,
            version=VERSION,
            uptime=int(time.monotonic() - self._started_at),
            nonce=nonce,
            timestamp=now,
        ).to_json(domain=self._config.domain, key=self._identity.key)

    def _registration(self) -> dict[str, Any]:
        now, nonce = self._now_and_nonce()
        identity = self._identity
        return Registration(
            keeper=identity.address,
            bls_public_key=identity.bls_public_key,
            possession=bls.prove_possession(identity.bls_secret, identity.address),
            name=self._config.name,
            version=VERSION,
            capabilities=tuple(sorted((*self._languages, f"chain:{self._config.chain_id}"))),
            contact=self._config.contact,
            nonce=nonce,
            timestamp=now,
        ).to_json(domain=self._config.domain, key=identity.key)

    def _now_and_nonce(self) -> tuple[int, int]:
        microseconds = time.time_ns() // 1_000
        self._last_nonce = max(self._last_nonce + 1, microseconds)
        return microseconds // 1_000_000, self._last_nonce


def _require_accepted(status: int, answer: Mapping[str, Any]) -> None:
    if not 200 <= status < 300:
        raise ControlPlaneRefused(status=status, reason=str(answer.get("code", "")))
