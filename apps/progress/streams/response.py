"""A streaming answer whose body is closed when the answer is, not when the garbage collector comes by."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from django.http import StreamingHttpResponse


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events from an asynchronous generator.

    Django closes the generator it wraps a body in, but not the body itself: where the client goes away
    while a part is being sent, the body would hold its place and its subscription for longer.
    """

    def __init__(self, body: AsyncGenerator[bytes, None]) -> None:
        super().__init__(
            body,
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body's parts; closing this closes the body."""
        async with aclosing(self._body) as body:
            async for part in body:
                yield part
