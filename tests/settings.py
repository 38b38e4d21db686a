"""Django's settings under test: the real ones over an environment of their own.

Every test process (each xdist worker) has its own home folder, database and Redis. Where DATABASE_URL,
REDIS_URL or AMQP_URL are given they are used: a test database beside the named one, and the named
database of Redis (each further worker: the next one), which the tests empty.
"""

import atexit
import json
import os
import random
import shutil
import socket
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

_TAKEN_OVER = ("DATABASE_URL", "REDIS_URL", "AMQP_URL")
#: What was given to the whole session: xdist's workers inherit the environment made below.
_GIVEN = "FOREKEEP_TESTS_GIVEN"


def _free_port() -> int:
    """A free port below the ephemeral range, so that no outgoing connection takes it meanwhile."""
    for port in random.Random(os.getpid()).sample(range(20_000, 32_000), 200):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")


def _own_redis(url: str) -> str:
    """The given Redis; each further xdist worker takes the next database."""
    parts = urlsplit(url)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return parts._replace(path=f"/{(int(parts.path.strip('/') or 0) + worker) % 16}").geturl()


_home = Path(tempfile.mkdtemp(prefix="forekeep-test-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
_given: dict[str, str] = (
    json.loads(os.environ[_GIVEN])
    if _GIVEN in os.environ
    else {name: os.environ[name] for name in _TAKEN_OVER if os.environ.get(name)}
)
if "REDIS_URL" in _given:
    _given |= {"REDIS_URL": _own_redis(_given["REDIS_URL"])}
for _name in [name for name in os.environ if name.startswith("FOREKEEP_")]:
    del os.environ[_name]
os.environ |= {
    "FOREKEEP_HOME": str(_home),
    "SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests",
    "DATABASE_URL": f"sqlite:///{_home}/db.sqlite3",
    "REDIS_URL": f"redis://127.0.0.1:{_free_port()}/0",
    "WEB_URL": "http://testserver",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "LOG_LEVEL": "INFO",
    # a proof takes a quarter of a second of a core: the tests that are about proofs ask for them
    "FOREKEEP_PROOFS_IS_REQUIRED": "0",
    **_given,
    _GIVEN: json.dumps(_given),
}

from project.settings import *  # noqa: E402, F403
from project.settings import DATABASES, FOREKEEP  # noqa: E402

IS_REDIS_GIVEN = "REDIS_URL" in _given
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if FOREKEEP.database.url.startswith("sqlite"):
    DATABASES["default"]["TEST"] = {"NAME": str(_home / "test.sqlite3")}
