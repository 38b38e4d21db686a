"""What a real node process lives among: a private Redis, a control plane that takes its posts, its folder."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from celery import Celery

from apps.content.store import ContentStore, open_store
from apps.kernel.eip712 import address_of
from project.embedded.redis import PrivateRedis, start_private_redis
from project.env import REPOSITORY
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import DISPATCHER, keystore_json, make_identity
from tests.support.waiting import wait_until
from workers.keeper.keystore import Identity

START_SECONDS = 60.0


class ControlPlane:
    """Takes registrations and check-ins from whoever posts them, and answers calls to a chain at block 1."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = b"{}"
                if self.path == "/chain":
                    answer = json.dumps([_chain_answer(call) for call in body]).encode()
                else:
                    plane.posts.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def check_ins(self, address: str) -> int:
        """How often this keeper checked in."""
        return sum(path == "/keeper/checkin" and body["keeper"] == address for path, body in self.posts)


class Surroundings:
    """Redis, control plane, content and the dispatcher's sender, over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plane = ControlPlane()
        self.redis: PrivateRedis = start_private_redis(folder / "redis")
        self.store: ContentStore = open_store(f"file://{folder}/content")
        self.sender = Celery("dispatcher", broker=self.redis.url, set_as_current=False)
        self.sender.conf.update(task_ignore_result=True, broker_connection_max_retries=3)
        self.nodes: list[NodeProcess] = []

    def close(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.kill()
        self.sender.close()
        self.redis.stop()
        self.plane.close()

    def restart_redis(self) -> None:
        """The same server again: same port, same folder."""
        port = self.redis.port
        self.redis.stop()
        self.redis = start_private_redis(self.folder / "redis", port)

    def client(self) -> "redis.Redis":
        """A client; close it."""
        return redis.Redis.from_url(self.redis.url)

    def environ(self, **changes: str) -> dict[str, str]:
        """What a node is told, but for its own keystore."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "default",
            "BROKER_URL": self.redis.url,
            "CONTROL_URL": self.plane.url,
            "CHAIN_RPC_URL": f"{self.plane.url}/chain",
            "CHAIN_ID": str(DOMAIN.chain_id),
            "HUB_ADDRESS": DOMAIN.contract,
            "DISPATCHER_ADDRESS": address_of(DISPATCHER.public_key),
            "CONTENT_URL": f"file://{self.folder}/content",
            "CHECK_IN_SECONDS": "1",
            "SANDBOX_ENGINE": "auto",
            **changes,
        }

    def start_node(self, **changes: str) -> "NodeProcess":
        """A node of its own, up and checked in."""
        node = NodeProcess(self, make_identity(), changes)
        self.nodes.append(node)
        node.start()
        return node

    def send(self, node: "NodeProcess", task: str, **kwargs: Any) -> None:
        """Send a task message to a node, as the dispatcher does."""
        headers = kwargs.pop("headers", None)
        self.sender.send_task(task, kwargs=kwargs, queue=node.queue, headers=headers)

    def take(self, kind: str, count: int = 1, timeout_seconds: float = 30.0) -> list[Any]:
        """Wait for items of a kind in the intake queue and take them."""
        found: list[Any] = []
        name = f"workers.intake.{kind}"

        def collect() -> bool:
            found.extend(item for sent, items in self.take_messages() if sent == name for item in items)
            return len(found) >= count

        wait_until(collect, timeout_seconds)
        return found

    def take_messages(self) -> list[tuple[str, list[Any]]]:
        """Take every message of the intake queue: task name and items."""
        messages = []
        with self.client() as client:
            while (raw := client.rpop("intake")) is not None:
                envelope = json.loads(raw)
                _, kwargs, _ = json.loads(base64.b64decode(envelope["body"]))
                messages.append((envelope["headers"]["task"], kwargs["items"]))
        return messages


class NodeProcess:
    """`python -m workers.keeper` with its own keystore."""

    def __init__(self, around: Surroundings, identity: Identity, changes: Mapping[str, str]) -> None:
        self.around = around
        self.identity = identity
        self.folder = around.folder / "keepers" / uuid4().hex[:8]
        self.folder.mkdir(parents=True)
        write_keystore(self.folder / "keystore.json", identity)
        self._changes = dict(changes)
        self._log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Its keeper's address."""
        return self.identity.address

    @property
    def queue(self) -> str:
        """Its queue."""
        return f"keeper.{self.address}"

    def start(self) -> None:
        """Start and wait until it has checked in, which it does once it consumes."""
        before = self.around.plane.check_ins(self.address)
        environ = self.around.environ(
            KEEPER_KEYSTORE=str(self.folder / "keystore.json"),
            CACHE_DIR=str(self.folder / "cache"),
            **self._changes,
        )
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.keeper"], env=environ, cwd=REPOSITORY, stderr=log, stdout=log
            )
        wait_until(
            lambda: self.around.plane.check_ins(self.address) > before or self._has_ended(), START_SECONDS
        )
        assert self.process.poll() is None, self.log()

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_seconds: float) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """What it has logged, line by line."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]


def write_keystore(path: Path, identity: Identity) -> None:
    """A keystore file as a node takes it."""
    path.write_text(json.dumps(keystore_json(identity)), encoding="utf-8")
    path.chmod(0o600)


def _chain_answer(call: Mapping[str, Any]) -> dict[str, Any]:
    results = {"eth_blockNumber": "0x1", "eth_getCode": "0x60", "eth_call": "0x", "eth_estimateGas": "0xa112"}
    return {"jsonrpc": "2.0", "id": call["id"], "result": results[call["method"]]}
