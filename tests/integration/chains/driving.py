"""Driving outbound transactions through a real node, with time as an argument; running commands."""

from datetime import timedelta
from io import StringIO

from django.core.management import call_command

from apps.chains.artifacts import get_abi
from apps.chains.client import ChainClient
from apps.chains.data import Call, CallRequest, OutboundStatus
from apps.chains.models import Outbound
from apps.chains.rpc import RpcTransport
from apps.chains.services import outbound_broadcast, outbound_poll
from apps.eventlog.selectors import get_database_now
from tests.support.waiting import wait_until

PROJECT = (7).to_bytes(32)


def run(*arguments):
    """Run a management command; what it printed."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def deposit_request(chain, *, wei=1, gas_limit=100_000, purpose="test"):
    """A call that succeeds: a deposit."""
    data = get_abi("Escrow").encode("deposit", PROJECT)
    return CallRequest(
        to=chain.deployment.escrow, data=data, gas_limit=gas_limit, value_wei=wei, purpose=purpose
    )


def reverting_request(chain):
    """A call that reverts: a deposit of nothing."""
    return deposit_request(chain, wei=0)


def later(seconds):
    """The database's time, so many seconds ahead."""
    return get_database_now() + timedelta(seconds=seconds)


def drive(pks, *, status=OutboundStatus.CONFIRMED, ahead_seconds=0, timeout_seconds=15.0):
    """Broadcast and poll, so many seconds ahead, until all rows have the status; return them in order."""

    def is_there():
        now = later(ahead_seconds)
        outbound_broadcast(now)
        outbound_poll(now)
        rows = list(Outbound.objects.filter(pk__in=pks).order_by("sender_id", "nonce"))
        return rows if all(row.status == status for row in rows) else None

    return wait_until(is_there, timeout_seconds)


def deposited(chain):
    """What the escrow holds for the test's project."""
    abi = get_abi("Escrow")
    output = chain.client.call(Call(to=chain.deployment.escrow, data=abi.encode("deposited", PROJECT)))
    return abi.decode("deposited", output)[0]


class CountingTransport(RpcTransport):
    """Tells its client of every HTTP request."""

    def __init__(self, url, client):
        super().__init__(url, 10.0)
        self._client = client

    def _post(self, body):
        self._client.requests += 1
        return super()._post(body)


class CountingClient(ChainClient):
    """A real client that counts its HTTP requests."""

    def __init__(self, url):
        super().__init__(url)
        self._rpc.close()
        self.requests = 0
        self._rpc = CountingTransport(url, self)
