"""Every setting of Forekeep, typed, with its unit in its name and its default.

Read once at start from the environment and from `$FOREKEEP_HOME/forekeep.env` (the environment
wins). A section's field is read from `FOREKEEP_<SECTION>_<FIELD>` unless it names its own variable.
A bad value stops the start: see `settings_or_exit`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from project.env_triggers import Egress, Notices, Storage, Triggers
from project.variables import SettingInvalid, read_env_file, read_section, variable

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_DAY_SECONDS: Final = 86_400
#: the sizes a statement's circuit comes in (`apps/proofs/domain/statement.py`)
_CIRCUITS: Final = ("16", "64", "128", "512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The HTTP side: REST, pages, admin."""

    url: str = variable("http://127.0.0.1:8000", name="WEB_URL", schemes=("http", "https"))
    secret_key: str = variable(name="SECRET_KEY", min_length=32, is_secret=True)
    secret_key_fallbacks: tuple[str, ...] = variable("", name="SECRET_KEY_FALLBACKS", is_secret=True)
    is_debug: bool = variable(False, name="DEBUG")
    allowed_hosts: tuple[str, ...] = variable("localhost,127.0.0.1,[::1]", name="ALLOWED_HOSTS")
    flower_basic_auth: str | None = variable(None, name="FLOWER_BASIC_AUTH", is_secret=True)
    flower_url: str | None = variable(None, name="FLOWER_URL", schemes=("http", "https"))
    requests_at_once_max: int = variable(16, minimum=1, maximum=1_000)
    body_max_bytes: int = variable(10_485_760, minimum=1_024)
    rate_limit_per_minute: int = variable(6_000, minimum=1)
    api_key_cache_seconds: int = variable(10, minimum=0, maximum=300)
    idempotency_keep_seconds: int = variable(_DAY_SECONDS, minimum=60)
    idempotency_in_flight_seconds: int = variable(60, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where the truth lives."""

    url: str = variable(
        "sqlite:///{home}/db.sqlite3",
        name="DATABASE_URL",
        schemes=("sqlite", "postgres", "postgresql"),
        is_secret=True,
    )
    busy_timeout_seconds: int = variable(30, minimum=1)
    connection_max_age_seconds: int = variable(600, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Messages (Redis, or AMQP where set) and what only Redis does: cache, rate limits, pub/sub."""

    redis_url: str = variable(
        "redis://127.0.0.1:6379/0", name="REDIS_URL", schemes=("redis", "rediss", "unix"), is_secret=True
    )
    amqp_url: str | None = variable(None, name="AMQP_URL", schemes=("amqp", "amqps"), is_secret=True)
    prefetch_multiplier: int = variable(4, minimum=1, maximum=64)
    max_tasks_per_child: int = variable(20_000, minimum=1)
    socket_timeout_seconds: int = variable(10, minimum=1)

    @property
    def url(self) -> str:
        """The URL Celery is given."""
        return self.amqp_url or self.redis_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The settlement chain and the keys that write to it."""

    rpc_url: str = variable(
        "http://127.0.0.1:8545", name="CHAIN_RPC_URL", schemes=("http", "https"), is_secret=True
    )
    confirmations: int = variable(2, name="CHAIN_CONFIRMATIONS", minimum=0, maximum=1_000)
    deployment_file: Path = variable("{home}/deployment.json", name="CHAIN_DEPLOYMENT_FILE")
    dispatcher_key_file: Path = variable("{home}/keys/dispatcher.json", name="DISPATCHER_KEY_FILE")
    submitter_key_files: tuple[Path, ...] = variable(
        "{home}/keys/submitter-1.json", name="SUBMITTER_KEY_FILES"
    )
    request_timeout_seconds: int = variable(10, minimum=1)
    outbound_rows: int = variable(500, minimum=1, maximum=5_000)
    poll_seconds: float = variable(0.2, minimum=0.0)
    resend_seconds: int = variable(5, minimum=1)
    drop_after_seconds: int = variable(60, minimum=1)
    bump_after_sends: int = variable(6, minimum=1)
    max_fee_gwei: int = variable(500, minimum=1)
    audit_seconds: int = variable(5, minimum=1)
    heal_after_seconds: int = variable(3, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Content-addressed storage."""

    url: str = variable("file://{home}/content", name="CONTENT_URL", schemes=("file", "s3", "memory"))
    upload_max_bytes: int = variable(8_388_608, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Definitions and triggers."""

    sweep_seconds: int = variable(30, minimum=1)
    look_ahead_seconds: int = variable(40, minimum=1)
    script_max_bytes: int = variable(262_144, minimum=1)
    script_max_nodes: int = variable(20_000, minimum=1)
    script_max_depth: int = variable(128, minimum=1)
    script_max_line: int = variable(5_000, minimum=1)
    params_max_bytes: int = variable(65_536, minimum=1)
    missed_grace_seconds: int = variable(60, minimum=0)
    fire_burst: int = variable(100, minimum=1, maximum=10_000)
    firing_keep_seconds: int = variable(30 * _DAY_SECONDS, minimum=3_600)
    offchain_base_units: int = variable(10_000, minimum=0)
    offchain_cpu_second_units: int = variable(1_000, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepers:
    """Registration, check-in and offline detection."""

    check_in_seconds: int = variable(60, minimum=1)
    offline_after_seconds: int = variable(600, minimum=1)
    timestamp_window_seconds: int = variable(60, minimum=1)
    alert_cooldown_seconds: int = variable(3_600, minimum=0)
    min_stake_units: int = variable(1_000_000_000, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Double-entry accounts."""

    postings_max_rows: int = variable(5_000, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Assignments and leases."""

    acknowledge_seconds: int = variable(30, minimum=1)
    resend_seconds: int = variable(5, minimum=1)
    lease_margin_seconds: int = variable(30, minimum=0)
    max_attempts: int = variable(3, minimum=1)
    default_deadline_seconds: int = variable(30, minimum=1, maximum=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Running ahead: how far, under which bond, and when it switches itself off."""

    is_enabled: bool = variable(True)
    mode: str = variable("balanced", choices=("conservative", "balanced", "aggressive", "custom"))
    max_depth: int = variable(5, minimum=1, maximum=20)
    max_branches: int = variable(4, minimum=1, maximum=16)
    lease_buffer_seconds: int = variable(60, minimum=0)
    min_reputation: int = variable(500, minimum=0, maximum=10_000)
    max_at_risk_units: int = variable(1_000_000_000_000, minimum=0)
    bond_form: str = variable("exponential", choices=("exponential", "linear"))
    bond_base_units: int = variable(1_000_000, minimum=1)
    bond_growth_percent: int = variable(200, minimum=100)
    bond_step_units: int = variable(1_000_000, minimum=0)
    rollback_rate_percent: int = variable(20, minimum=0, maximum=100)
    rollback_window_seconds: int = variable(600, minimum=1)
    rollback_min_ended: int = variable(20, minimum=1)
    breaker_cooldown_seconds: int = variable(300, minimum=0)
    breaker_probes: int = variable(3, minimum=1)
    waiting_seconds: int = variable(60, minimum=1)
    commitment_keep_seconds: int = variable(86_400, minimum=60)
    backlog_high: int = variable(100, minimum=1)
    backlog_low: int = variable(25, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """Proofs of tasks' statements: whether they are asked for, who makes them, how patiently."""

    is_required: bool = variable(True)
    sizes: tuple[str, ...] = variable("16,64")
    keys_folder: Path = variable("{home}/proofs")
    socket: Path = variable("{home}/run/prover.sock")
    generations: int = variable(4, minimum=1, maximum=64)
    prover_waiting_max: int = variable(256, minimum=1, maximum=100_000)
    prover_nice: int = variable(15, minimum=0, maximum=19)
    submissions: int = variable(2, minimum=1, maximum=64)
    generation_seconds: int = variable(60, minimum=1)
    submission_seconds: int = variable(30, minimum=1)
    ancestors_seconds: int = variable(300, minimum=1)
    retries: int = variable(3, minimum=0)
    retry_base_seconds: float = variable(1.0, minimum=0)
    retry_max_seconds: float = variable(30.0, minimum=0)
    duplicate_seconds: int = variable(600, minimum=0)
    result_kept_seconds: int = variable(3_600, minimum=0)
    delay_seconds: float = variable(0.0, minimum=0, maximum=600)

    @property
    def circuit_sizes(self) -> tuple[int, ...]:
        """The circuits there are keys for, smallest first."""
        return tuple(sorted(int(size) for size in self.sizes))

    @property
    def asked_circuits(self) -> tuple[int, ...]:
        """The circuits that tasks are proved with: none where no proof is required."""
        return self.circuit_sizes if self.is_required else ()

    @property
    def read_max(self) -> int:
        """How many inputs and data parents one task may read: with its specification they fill half the
        largest circuit (`apps/proofs/domain/task_witness.py`).
        """
        return self.circuit_sizes[-1] // 2 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What a failure costs and what follows it."""

    retry_delay_seconds: int = variable(1, minimum=0)
    retry_max_delay_seconds: int = variable(30, minimum=0)
    timeout_factor_percent: int = variable(200, minimum=100)
    max_timeout_seconds: int = variable(60, minimum=1)
    abort_reply_seconds: float = variable(1.0, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Committees and ballots."""

    committee_size: int = variable(5, minimum=1)
    committee_min: int = variable(4, minimum=1)
    ballot_timeout_seconds: int = variable(60, minimum=1)
    round_max_tasks: int = variable(64, minimum=1, maximum=64)
    gas_tolerance_percent: int = variable(10, minimum=0, maximum=100)
    redraws: int = variable(1, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Batches and what they cost."""

    batch_max: int = variable(64, minimum=1, maximum=64)
    fee_multiplier_percent: int = variable(120, minimum=100)
    action_gas_limit: int = variable(200_000, minimum=21_000)
    resubmit_max: int = variable(3, minimum=0)
    estimate_batch_gas: int = variable(300_000, minimum=0)
    estimate_item_gas: int = variable(60_000, minimum=0)
    estimate_batch_items: int = variable(4, minimum=1, maximum=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The pipeline's sweeps and the size of its sets."""

    sweep_seconds: int = variable(1, minimum=1)
    batch_rows: int = variable(500, minimum=1, maximum=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Live streams and the run pages."""

    stream_poll_milliseconds: int = variable(300, minimum=50, maximum=500)
    stream_keep_alive_seconds: int = variable(15, minimum=1, maximum=60)
    streams_per_caller: int = variable(20, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Logs, metrics, health."""

    log_level: str = variable(
        "INFO", name="LOG_LEVEL", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    )
    sweep_stale_seconds: int = variable(60, minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole tree; `django.conf.settings.FOREKEEP`."""

    home: Path
    web: Web
    database: Database
    broker: Broker
    chain: Chain
    content: Content
    jobs: Jobs
    egress: Egress
    triggers: Triggers
    storage: Storage
    notices: Notices
    keepers: Keepers
    ledger: Ledger
    execution: Execution
    speculation: Speculation
    proofs: Proofs
    rollback: Rollback
    attestation: Attestation
    settlement: Settlement
    stages: Stages
    progress: Progress
    telemetry: Telemetry


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting; raise SettingInvalid naming the first variable that is bad or missing."""
    home, merged = _merge(environ)
    settings = Settings(
        home=home,
        web=read_section(Web, "web", merged, home),
        database=read_section(Database, "database", merged, home),
        broker=read_section(Broker, "broker", merged, home),
        chain=read_section(Chain, "chain", merged, home),
        content=read_section(Content, "content", merged, home),
        jobs=read_section(Jobs, "jobs", merged, home),
        egress=read_section(Egress, "egress", merged, home),
        triggers=read_section(Triggers, "triggers", merged, home),
        storage=read_section(Storage, "storage", merged, home),
        notices=read_section(Notices, "notices", merged, home),
        keepers=read_section(Keepers, "keepers", merged, home),
        ledger=read_section(Ledger, "ledger", merged, home),
        execution=read_section(Execution, "execution", merged, home),
        speculation=read_section(Speculation, "speculation", merged, home),
        proofs=read_section(Proofs, "proofs", merged, home),
        rollback=read_section(Rollback, "rollback", merged, home),
        attestation=read_section(Attestation, "attestation", merged, home),
        settlement=read_section(Settlement, "settlement", merged, home),
        stages=read_section(Stages, "stages", merged, home),
        progress=read_section(Progress, "progress", merged, home),
        telemetry=read_section(Telemetry, "telemetry", merged, home),
    )
    _require_sense(settings)
    return settings


def read_proofs(environ: Mapping[str, str]) -> Proofs:
    """The section of proofs alone, for the prover, which needs nothing else; raises SettingInvalid."""
    home, merged = _merge(environ)
    proofs = read_section(Proofs, "proofs", merged, home)
    _require_circuits(proofs)
    return proofs


def settings_or_exit() -> Settings:
    """The settings of this process; one line on stderr and exit code 2 where one is bad."""
    try:
        return read_settings(os.environ)
    except SettingInvalid as exc:
        sys.stderr.write(f"forekeep cannot start. {exc}\n")
        sys.exit(2)


def _merge(environ: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
    """The home, and the environment over what the home's `forekeep.env` says."""
    home = _home_of(environ)
    return home, {**read_env_file(home / "forekeep.env"), **environ}


def _home_of(environ: Mapping[str, str]) -> Path:
    text = environ.get("FOREKEEP_HOME", str(REPOSITORY / "var"))
    if not text.strip():
        raise SettingInvalid(variable="FOREKEEP_HOME", given="an empty text was given", expected="a path")
    home = Path(text).expanduser().absolute()
    if home.exists() and not home.is_dir():
        raise SettingInvalid(variable="FOREKEEP_HOME", given=f"{text!r} is a file", expected="a folder")
    return home


def _require_sense(settings: Settings) -> None:
    """What no single field can say."""
    _require_circuits(settings.proofs)
    if settings.speculation.backlog_low > settings.speculation.backlog_high:
        raise SettingInvalid(
            variable="FOREKEEP_SPECULATION_BACKLOG_LOW",
            given=f"{settings.speculation.backlog_low} was given",
            expected=f"at most the high mark, {settings.speculation.backlog_high}",
        )
    attestation = settings.attestation
    if attestation.committee_min > attestation.committee_size:
        raise SettingInvalid(
            variable="FOREKEEP_ATTESTATION_COMMITTEE_MIN",
            given=f"{attestation.committee_min} was given",
            expected=f"at most the committee's size, {attestation.committee_size}",
        )


def _require_circuits(proofs: Proofs) -> None:
    if not proofs.sizes or any(size not in _CIRCUITS for size in proofs.sizes):
        raise SettingInvalid(
            variable="FOREKEEP_PROOFS_SIZES",
            given=f"{','.join(proofs.sizes)!r} was given",
            expected=f"some of {', '.join(_CIRCUITS)}",
        )
