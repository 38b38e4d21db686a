"""apprise, loaded when the first target is looked at: it takes a quarter of a second, which most processes of
this deployment never need.
"""

from functools import cache
from importlib import import_module
from typing import Any


def make_apprise() -> Any:
    """An empty set of apprise's targets."""
    return _load().Apprise()


@cache
def _load() -> Any:
    return import_module("apprise")
