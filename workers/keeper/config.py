"""The node's settings: typed, from the environment, checked before anything starts.

A bad or missing value is `ConfigInvalid`, which names the variable; the text of a secret is never
repeated. URLs may carry credentials and are therefore treated as secrets.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from apps.jobs.domain.evidence import EXPIRY_TOLERANCE_SECONDS, TIME_TOLERANCE_SECONDS
from apps.kernel.abi import is_address
from apps.kernel.eip712 import TypedDomain
from apps.kernel.errors import Invalid

VERSION: Final = "0.1.0"
ENGINES: Final = ("auto", "bubblewrap", "landlock", "docker")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

T = TypeVar("T")


class ConfigInvalid(Invalid):
    """A variable that is missing or cannot be used. Fields: variable, given, expected."""

    code = "config_invalid"
    title = "A setting of the keeper is not valid"

    def __str__(self) -> str:
        """The one line an operator reads."""
        return f"{self.variable}: {self.given}; expected {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperConfig:
    """Everything one node is told. Field comments name the variable where it differs."""

    keystore: Path  # KEEPER_KEYSTORE
    broker_url: str = field(repr=False)
    control_url: str
    chain_rpc_url: str = field(repr=False)
    chain_id: int
    hub_address: str
    dispatcher_address: str
    content_url: str = field(repr=False)
    cache_dir: Path
    sandbox_engine: str
    executor: str
    concurrency: int
    pool_size: int
    check_in_seconds: int
    gas_tolerance_percent: int
    time_tolerance_seconds: int
    expiry_tolerance_seconds: int
    name: str  # KEEPER_NAME
    contact: Mapping[str, str] = field(repr=False)  # KEEPER_CONTACT, a JSON object
    log_level: str

    @property
    def domain(self) -> TypedDomain:
        """The EIP-712 domain of every message."""
        return TypedDomain(chain_id=self.chain_id, contract=self.hub_address)


def read_config(environ: Mapping[str, str]) -> KeeperConfig:
    """Read every setting; raise ConfigInvalid naming the first variable that is bad or missing."""
    read = _Reader(environ)
    config = KeeperConfig(
        keystore=read.path("KEEPER_KEYSTORE"),
        broker_url=read.url("BROKER_URL", ("redis", "rediss", "amqp", "amqps")),
        control_url=read.url("CONTROL_URL", ("http", "https")).rstrip("/"),
        chain_rpc_url=read.url("CHAIN_RPC_URL", ("http", "https")),
        chain_id=read.integer("CHAIN_ID", None, 1, (1 << 53) - 1),
        hub_address=read.address("HUB_ADDRESS"),
        dispatcher_address=read.address("DISPATCHER_ADDRESS"),
        content_url=read.url("CONTENT_URL", ("file", "s3", "memory")),
        cache_dir=read.path("CACHE_DIR"),
        sandbox_engine=read.choice("SANDBOX_ENGINE", "auto", ENGINES),
        executor=read.text("EXECUTOR", "sandbox"),
        concurrency=read.integer("CONCURRENCY", 2, 1, 64),
        pool_size=read.integer("POOL_SIZE", 1, 0, 64),
        check_in_seconds=read.integer("CHECK_IN_SECONDS", 60, 1, 3_600),
        gas_tolerance_percent=read.integer("FOREKEEP_ATTESTATION_GAS_TOLERANCE_PERCENT", 10, 0, 100),
        time_tolerance_seconds=read.integer(
            "FOREKEEP_TRIGGERS_TIME_TOLERANCE_SECONDS", TIME_TOLERANCE_SECONDS, 0, 3_600
        ),
        expiry_tolerance_seconds=read.integer(
            "FOREKEEP_TRIGGERS_EXPIRY_TOLERANCE_SECONDS", EXPIRY_TOLERANCE_SECONDS, 0, 3_600
        ),
        name=read.text("KEEPER_NAME", "keeper"),
        contact=read.contact("KEEPER_CONTACT"),
        log_level=read.choice("LOG_LEVEL", "INFO", _LEVELS),
    )
    if config.executor != "sandbox" and environ.get("FOREKEEP_BENCH") != "1":
        raise ConfigInvalid(
            variable="EXECUTOR",
            given=f"{config.executor!r} was given",
            expected="sandbox (another executor runs only in a bench, with FOREKEEP_BENCH=1)",
        )
    return config


class _Reader:
    """One method per kind of value; each raises ConfigInvalid for its variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, variable: str, default: str | None = None) -> str:
        text = self._environ.get(variable, "").strip() or default
        if text is None:
            raise ConfigInvalid(variable=variable, given="nothing was given", expected="a value")
        return text

    def path(self, variable: str) -> Path:
        return Path(self.text(variable)).expanduser().absolute()

    def url(self, variable: str, schemes: tuple[str, ...]) -> str:
        text = self.text(variable)
        parts = self._parsed(variable, text, _split_url, "a URL")
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ConfigInvalid(
                variable=variable,
                given="another URL was given",
                expected=" or ".join(f"{s}://…" for s in schemes),
            )
        return text

    def integer(self, variable: str, default: int | None, low: int, high: int) -> int:
        text = self.text(variable, None if default is None else str(default))
        number = self._parsed(variable, text, int, f"an integer from {low} to {high}")
        if not low <= number <= high:
            raise ConfigInvalid(
                variable=variable, given=f"{number} was given", expected=f"an integer from {low} to {high}"
            )
        return number

    def address(self, variable: str) -> str:
        text = self.text(variable)
        if not is_address(text):
            raise ConfigInvalid(
                variable=variable, given=f"{text[:60]!r} was given", expected="0x and 40 hex digits"
            )
        return text.lower()

    def choice(self, variable: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(variable, default)
        if text not in choices:
            raise ConfigInvalid(
                variable=variable, given=f"{text[:60]!r} was given", expected=" or ".join(choices)
            )
        return text

    def contact(self, variable: str) -> dict[str, str]:
        expected = 'an object of texts, such as {"email": "me@example.org"}'
        found = self._parsed(variable, self.text(variable, "{}"), json.loads, expected)
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise ConfigInvalid(variable=variable, given="something else was given", expected=expected)
        return found

    def _parsed(self, variable: str, text: str, parse: Callable[[str], T], expected: str) -> T:
        try:
            return parse(text)
        except ValueError:
            raise ConfigInvalid(
                variable=variable, given="something else was given", expected=expected
            ) from None


def _split_url(text: str) -> SplitResult:
    """The URL's parts; ValueError where one of them cannot be."""
    parts = urlsplit(text)
    if parts.scheme.startswith("http") and not parts.hostname:
        raise ValueError("no host")
    _ = parts.port
    return parts
