"""The settings of what the outside world starts and hears: see `env.py`, which reads them with all others."""

from dataclasses import dataclass

from project.variables import variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Requests to addresses that users name. `allow` opens private ones: hosts, addresses or networks."""

    allow: tuple[str, ...] = variable("")
    timeout_seconds: float = variable(5.0, minimum=0.1, maximum=60)
    response_max_bytes: int = variable(1_048_576, minimum=1_024)
    per_host_at_once: int = variable(8, minimum=1, maximum=1_000)
    at_once: int = variable(256, minimum=1, maximum=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """Watching chains and sources."""

    is_on_device: bool = variable(False)
    chain_urls: tuple[str, ...] = variable("", is_secret=True)
    block_range: int = variable(1_000, minimum=1, maximum=100_000)
    reorg_watch_blocks: int = variable(64, minimum=1, maximum=10_000)
    confirmations_max: int = variable(256, minimum=0, maximum=10_000)
    lease_seconds: int = variable(6, minimum=2, maximum=60)
    catch_up_seconds: int = variable(3, minimum=1, maximum=60)
    time_tolerance_seconds: int = variable(5, minimum=0)
    expiry_tolerance_seconds: int = variable(8, minimum=0)
    pause_after_failures: int = variable(5, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a custom script keeps between runs."""

    keys_max: int = variable(64, minimum=1, maximum=1_000)
    value_max_bytes: int = variable(4_096, minimum=1)
    total_max_bytes: int = variable(32_768, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """Webhooks and alerts."""

    sweep_seconds: int = variable(1, minimum=1)
    timeout_seconds: float = variable(10.0, minimum=0.1)
    attempts: int = variable(8, minimum=1, maximum=20)
    keep_days: int = variable(30, minimum=1)
    telegram_token: str | None = variable(None, is_secret=True)
    mail_url: str | None = variable(None, is_secret=True)
