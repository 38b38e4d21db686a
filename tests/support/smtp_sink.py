"""A mail server on loopback that takes everything and keeps it: just enough of SMTP for smtplib."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message as it came."""

    receivers: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Sink:
    """The server and its mail."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    #: what it says to the end of a message
    answer: str = "250 taken"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""

        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 sink")
        receivers: list[str] = []
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb == "DATA":
                say("354 go on")
                lines = []
                while (text := (await reader.readline()).decode()) not in (".\r\n", ""):
                    lines.append(text)
                self.mails.append(Mail(receivers=tuple(receivers), text="".join(lines)))
                receivers = []
                say(self.answer)
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                if verb == "RCPT":
                    receivers.append(line.partition("<")[2].partition(">")[0])
                say("250 sink" if verb in ("EHLO", "HELO") else "250 ok")
        writer.close()


@contextmanager
def mail_sink() -> Iterator[Sink]:
    """A sink on a free port of loopback."""
    sink = Sink()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(sink.serve, "127.0.0.1", 0))
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
