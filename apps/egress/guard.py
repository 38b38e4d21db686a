"""Which addresses may be asked: the public internet, and what the operator's allow-list opens.

Pure: nothing is looked up here. A URL is read with yarl, the parser the client sends with, so that both see
the same host. Ranges: IANA's special-purpose address registries, kept literally because `is_global` of the
standard library differs between patch releases.
"""

import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from yarl import URL

from apps.egress.data import Target
from apps.egress.errors import AddressRefused, AllowInvalid, UrlInvalid, UrlSchemeRefused

HTTP: Final = ("http", "https")
WEBSOCKET: Final = ("ws", "wss")
URL_MAX: Final = 2_048

#: IPv4 that is not the public internet, by the name of the reason.
_REFUSED_4: Final = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),
        ("169.254.0.0/16", "link_local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
#: IPv6 is public only inside 2000::/3, and there not in these.
_PUBLIC_6: Final = IPv6Network("2000::/3")
_REFUSED_6: Final = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link_local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "tunnel"),
        ("2001:db8::/32", "reserved"),
        ("2002::/16", "tunnel"),
        ("3fff::/20", "reserved"),
    )
)
#: IPv6 that stands for the IPv4 address in its last 32 bits: mapped, and NAT64.
_CARRIES_4: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """What is opened: networks and names, each at one port or at any (None)."""

    networks: frozenset[tuple[IPv4Network | IPv6Network, int | None]]
    names: frozenset[tuple[str, int | None]]

    def opens_name(self, host: str, port: int) -> bool:
        """Whether this host is open by name."""
        name = host.rstrip(".")
        return (name, None) in self.names or (name, port) in self.names

    def opens_address(self, address: Address, port: int) -> bool:
        """Whether this address is open at the port."""
        return any(address in network and wanted in (None, port) for network, wanted in self.networks)


@lru_cache(maxsize=64)
def read_allow(entries: tuple[str, ...]) -> AllowList:
    """The operator's list as a value. Raises AllowInvalid."""
    networks, names = set(), set()
    for entry in entries:
        host, port = _split_port(entry.strip())
        network = _network_of(host)
        if network:
            networks.add((network, port))
        elif host and not set(host) & set("/:@[]?#% "):
            names.add((host.lower().rstrip("."), port))
        else:
            raise AllowInvalid(entry=entry)
    return AllowList(networks=frozenset(networks), names=frozenset(names))


def check_url(
    url: str, allow: Iterable[str] = (), schemes: Collection[str] = HTTP, *, pointer: str | None = None
) -> Target:
    """The URL as a target that may be asked; what its name resolves to is checked when it is looked up.

    Raises UrlInvalid, UrlSchemeRefused, AddressRefused.
    """
    if not 0 < len(url) <= URL_MAX:
        raise UrlInvalid(pointer=pointer, reason="length")
    if any(char <= " " or char == "\\" or "\x7f" <= char <= "\xa0" for char in url):
        raise UrlInvalid(pointer=pointer, reason="spelling")
    parsed = _parse(url, pointer)
    if parsed.scheme not in schemes:
        raise UrlSchemeRefused(pointer=pointer, allowed=sorted(schemes))
    if "@" in _authority_of(url):
        raise UrlInvalid(pointer=pointer, reason="credentials")
    host, port = parsed.raw_host or "", parsed.port or 0
    if not host.strip(".") or "%" in host or ".." in host:
        raise UrlInvalid(pointer=pointer, reason="host")
    if not port:
        raise UrlInvalid(pointer=pointer, reason="port")

    shown = shown_url(url)
    _check_host(host, port, read_allow(tuple(allow)), shown, pointer)
    return Target(url=parsed, scheme=parsed.scheme, host=host, port=port, shown=shown)


def check_addresses(
    host: str, port: int, addresses: Collection[str], allow: AllowList, *, shown: str
) -> None:
    """All addresses a name was resolved to: one that is refused refuses the name. Raises AddressRefused."""
    if allow.opens_name(host, port):
        return
    for text in addresses:
        reason = get_refusal(text, port, allow)
        if reason:
            raise AddressRefused(url=shown, reason=reason)


def get_refusal(text: str, port: int, allow: AllowList) -> str | None:
    """Why this address may not be asked; None where it may."""
    try:
        address = ip_address(text)
    except ValueError:
        return "reserved"
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return "link_local"
        if any(address in network for network in _CARRIES_4):
            address = IPv4Address(int(address) & 0xFFFF_FFFF)
    reason = _reason_of(address)
    return None if reason is None or allow.opens_address(address, port) else reason


def shown_url(url: str) -> str:
    """`scheme://host:port/path`: what logs, errors and pages may show of a URL."""
    try:
        parsed = URL(url)
        if not parsed.raw_host:
            return "invalid URL"
        host = f"[{parsed.raw_host}]" if ":" in parsed.raw_host else parsed.raw_host
        return f"{parsed.scheme}://{host}:{parsed.port}{parsed.raw_path}"
    except ValueError:
        return "invalid URL"


def _parse(url: str, pointer: str | None) -> URL:
    try:
        return URL(url)
    except ValueError:
        pass
    raise UrlInvalid(pointer=pointer, reason="spelling")


def _authority_of(url: str) -> str:
    rest = url.partition("//")[2]
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    return rest


def _check_host(host: str, port: int, allow: AllowList, shown: str, pointer: str | None) -> None:
    """A literal address in any spelling, or a name that always means this machine."""
    if allow.opens_name(host, port):
        return
    address = _literal_of(host)
    if address is not None:
        reason = get_refusal(str(address), port, allow)
        if reason:
            raise AddressRefused(pointer=pointer, url=shown, reason=reason)
        if ":" not in host and str(address) != host:
            raise UrlInvalid(pointer=pointer, reason="spelling")
        return
    if ":" in host:
        raise UrlInvalid(pointer=pointer, reason="host")
    name = host.rstrip(".")
    if (name == "localhost" or name.endswith(".localhost")) and not allow.networks:
        raise AddressRefused(pointer=pointer, url=shown, reason="loopback")


def _literal_of(host: str) -> Address | None:
    """The address a host is a spelling of, as `getaddrinfo` would read it: 127.1, 0x7f.1, 2130706433, …"""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def _reason_of(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _REFUSED_4 if address in network), None)
    reason = next((reason for network, reason in _REFUSED_6 if address in network), None)
    return reason or (None if address in _PUBLIC_6 else "reserved")


def _network_of(host: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(host, strict=False)
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host:port`, `[address]:port`, or the entry itself."""
    if _network_of(entry):
        return entry, None
    host, colon, port = entry.rpartition(":")
    if not colon:
        return entry.removeprefix("[").removesuffix("]"), None
    if entry.endswith("]"):
        return entry[1:-1], None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise AllowInvalid(entry=entry)
    return host.removeprefix("[").removesuffix("]"), int(port)
