"""Values of a guarded request. What may hold a secret (URL, headers, body) is kept out of every repr."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """What one client may do. `allow` opens private addresses: hosts, `host:port`, addresses, networks."""

    allow: tuple[str, ...] = ()
    timeout_seconds: float = 5.0
    connect_seconds: float = 3.0
    response_max_bytes: int = 1_048_576
    per_host_at_once: int = 8
    at_once: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A checked URL. `host` is lower case and without brackets; `shown` is fit for logs and errors."""

    url: URL = field(repr=False)
    scheme: str
    host: str
    port: int
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `etag` and `last_modified`, from an earlier answer, make it conditional."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One whole answer, decompressed. `retry_after` in seconds, `is_not_modified` for a 304."""

    status: int
    body: bytes = field(repr=False)
    etag: str | None = None
    last_modified: str | None = None
    retry_after: float | None = None
    is_not_modified: bool = False
    taken_seconds: float = 0.0
