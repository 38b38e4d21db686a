"""A source of values on loopback: what it says is set by the test, and what it was asked is kept."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Saying:
    """What the server says at every path, and how often it was asked."""

    def __init__(self) -> None:
        #: path → JSON document, or (status, bytes)
        self.says: dict[str, Any] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        #: answers are tagged, so that an unchanged one can be left out
        self.is_tagging = False
        self.url = ""

    def set(self, path: str, document: Any) -> str:
        """Say this from now on; the URL that says it."""
        self.says[path] = document
        return self.url + path

    def count(self, path: str) -> int:
        """How often a path was asked."""
        return sum(asked[1] == path for asked in self.asked)


@contextmanager
def saying() -> Iterator[Saying]:
    """Serve on a free port of loopback until the block ends."""
    said = Saying()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            said.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
            found = said.says.get(self.path)
            status, body = found if isinstance(found, tuple) else (200, json.dumps(found).encode())
            tag = f'"{hash(body)}"'
            if said.is_tagging and self.headers.get("If-None-Match") == tag:
                status, body = 304, b""
            self.send_response(status)
            if said.is_tagging:
                self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        said.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield said
        finally:
            server.shutdown()
            thread.join()
