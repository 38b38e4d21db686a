"""Ending a background task for certain."""

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.1


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task until it has ended (a library may swallow one cancellation); its error is not raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()
