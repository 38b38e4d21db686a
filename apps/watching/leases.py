"""Who watches: one holder per name, by compare-and-set on the database's clock.

A lease says who should work, not who may: what the holder writes is safe to repeat, so that two holders for
a moment cost work and nothing else.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q

from apps.eventlog.selectors import get_database_now
from apps.watching.models import WatchLease


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a holder shows to renew or release."""

    name: str
    holder: str
    epoch: int


def make_holder() -> str:
    """A name no other process has: host, process id, chance."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"


def lease_take(*, name: str, holder: str, seconds: float) -> Lease | None:
    """Take a lease that nobody holds, or take up one's own again; None while another's lasts."""
    with transaction.atomic():
        now = get_database_now()
        until = now + timedelta(seconds=seconds)
        made = WatchLease(name=name, holder=holder, expires_at=now)
        WatchLease.objects.bulk_create([made], ignore_conflicts=True)
        is_free = Q(expires_at__lte=now) | Q(holder=holder)
        taken = WatchLease.objects.filter(is_free, name=name).update(
            holder=holder, expires_at=until, epoch=F("epoch") + 1
        )
        if not taken:
            return None
        return Lease(name=name, holder=holder, epoch=WatchLease.objects.get(pk=name).epoch)


def lease_renew(lease: Lease, *, seconds: float) -> bool:
    """Hold it for `seconds` from now; False where it has run out or is another's."""
    now = get_database_now()
    renewed = WatchLease.objects.filter(
        name=lease.name, holder=lease.holder, epoch=lease.epoch, expires_at__gt=now
    ).update(expires_at=now + timedelta(seconds=seconds))
    return bool(renewed)


def lease_release(lease: Lease) -> None:
    """Let it go, where it is still held."""
    WatchLease.objects.filter(name=lease.name, holder=lease.holder, epoch=lease.epoch).update(
        expires_at=get_database_now()
    )
