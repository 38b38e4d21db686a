"""Times, durations, long ids and states, as the pages show them. Every time shown is UTC."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.progress.domain.ahead_words import PHASE_WORDS, PROOF_WORDS, REASON_WORDS, RECOVERY_WORDS
from apps.progress.domain.words import RUN_WORDS, TASK_WORDS, describe_seconds, explain
from apps.tasks.data import UNFINISHED

register = template.Library()

_OTHER_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "active": ("▶", "it fires when it is due"),
        "paused": ("‖", "it fires when it is resumed"),
        "completed": ("✓", "it has fired as often as it should"),
        "expired": ("⊘", "its time is over"),
        "deleted": ("⊘", "it was deleted"),
        "online": ("●", "it has checked in lately"),
        "offline": ("○", "it has not checked in for too long"),
        "suspended": ("‖", "an operator holds it back"),
        "retired": ("⊘", "gone for good"),
    }
)
_WORDS: Final = MappingProxyType(
    {"task": TASK_WORDS, "run": RUN_WORDS, "proof": PROOF_WORDS, "phase": PHASE_WORDS}
)


@register.simple_tag
def badge(status: str, kind: str, count: int | None = None, **extra: str) -> SafeString:
    """A state as colour, symbol and word. `extra`: `class`, `id`, `field` (what scripts find it by)."""
    symbol, meaning = _WORDS.get(kind, _OTHER_WORDS).get(status, ("•", ""))
    shown = status.replace("_", " ")
    text = shown if count is None else f"{count} {shown}"
    names = ("id", "data-field")
    values = (extra.get("id"), extra.get("field"))
    attributes = (
        format_html(
            "".join(' {}="{}"' for value in values if value),
            *(part for name, value in zip(names, values, strict=True) if value for part in (name, value)),
        )
        if any(values)
        else ""
    )
    return format_html(
        '<span class="badge is-{}{}"{} data-symbol="{}" title="{}">{}</span>',
        status,
        f" {extra['class']}" if "class" in extra else "",
        attributes,
        symbol,
        meaning,
        text,
    )


@register.filter
def clock(text: str | None, decimals: int = 0) -> str:
    """`12:03:04`, or with milliseconds where `decimals` is 3."""
    if not text:
        return ""
    at = _parse(text)
    shown = f"{at:%H:%M:%S}"
    return f"{shown}.{at.microsecond // 1000:03d}" if decimals else shown


@register.filter
def day(text: str | None) -> str:
    """`3 Nov 2026`."""
    return f"{_parse(text):%-d %b %Y}" if text else ""


@register.filter
def until(text: str, now: str) -> str:
    """How long from now: `in 4 min 10 s`."""
    seconds = (_parse(text) - _parse(now)).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "now"


@register.filter
def ago(seconds: float | None) -> str:
    """`12 s ago`."""
    return "never" if seconds is None else f"{duration(seconds)} ago"


@register.filter
def took(run: Mapping[str, Any], now: str) -> str:
    """How long a run took, or has taken so far."""
    end = run["finished_at"] or now
    return duration((_parse(end) - _parse(run["opened_at"])).total_seconds())


@register.filter
def millis(value: int) -> str:
    """Milliseconds as a duration."""
    return duration(value / 1_000)


@register.filter
def grouped(value: int | str) -> str:
    """A whole number with thin gaps between its thousands."""
    return re.sub(r"\B(?=(\d{3})+(?!\d))", "\u202f", str(value))


@register.filter
def short(text: str | None) -> str:
    """The two ends of a long id."""
    if not text or len(text) <= 17:
        return text or ""
    return f"{text[:10]}…{text[-5:]}"


#: what fired a run that no tick and nobody did, by the kind its tick key begins with
_TRIGGERS: Final = {"event": "a log", "condition": "its condition", "link": "another job's run"}


@register.filter
def trigger(tick_key: str) -> str:
    """What fired a run, from its tick key."""
    kind, _, rest = tick_key.partition(":")
    if kind == "time" and len(rest) >= 19:
        return f"tick of {rest[11:19]}"
    return _TRIGGERS.get(kind, "by hand")


@register.filter
def at(timeline: Mapping[str, str], status: str) -> str:
    """When a status was last entered; empty where it never was."""
    return timeline.get(status, "")


@register.filter
def words(text: str) -> list[str]:
    """A text's words."""
    return text.split()


@register.filter
def spaced(name: str) -> str:
    """A name as it is shown: `waiting ancestors`."""
    return name.replace("_", " ")


@register.filter
def is_speculative(task: Mapping[str, Any]) -> bool:
    """Whether a task has begun on results that are not confirmed, and has not ended."""
    return bool(task["is_ahead"]) and task["status"] in UNFINISHED


@register.filter
def percent(share: float) -> int:
    """A share as a whole number of hundredths."""
    return round(max(0.0, min(1.0, share)) * 100)


@register.filter
def saved(figures: Mapping[str, Any]) -> str:
    """What running ahead saved, beside what it is measured against; negative where it cost time."""
    seconds = figures["saved_seconds"]
    if seconds is None:
        return "not known yet"
    took, without = duration(figures["took_seconds"]), duration(figures["without_seconds"])
    sign = "−" if seconds < 0 else ""
    return f"{sign}{duration(abs(seconds))} ({took} instead of {without})" if seconds else "nothing so far"


@register.filter
def hits(figures: Mapping[str, Any]) -> str:
    """How the attempts that ran ahead fared: `2 of 3 confirmed (67 %)`."""
    ended, ahead = figures["ran_ahead_ended"], figures["ran_ahead"]
    if not ahead:
        return "none"
    if not ended:
        return f"{ahead} under way"
    share = round(100 * figures["hit_rate"])
    return f"{figures['ran_ahead_confirmed']} of {ended} confirmed ({share}\u00a0%)"


@register.filter
def reason(code: str) -> str:
    """Why something was undone, in words."""
    return REASON_WORDS.get(code, code.replace("_", " "))


@register.filter
def recovery(action: str) -> str:
    """What follows a failure, in words."""
    return RECOVERY_WORDS.get(action, action.replace("_", " "))


@register.filter
def explained(error: Mapping[str, str]) -> str:
    """A task's error in one sentence."""
    found = explain(error["code"])
    return found.happened if found else ""


def duration(seconds: float) -> str:
    """A length of time with the precision that matters: `340 ms`, `2.41 s`, `4 min 10 s`, `3 h 5 min`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return describe_seconds(whole // 86_400 * 86_400)


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
