"""The disk store against what really happens to disks and processes: kill -9, no room, quota."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.content.data import CHUNK_BYTES, Block
from apps.content.store import is_intact

REPOSITORY = Path(__file__).parents[3]

WRITE_FOR_EVER = """
import os, sys
from apps.content.store import open_store
store = open_store(f"file://{sys.argv[1]}")
while True:
    store.put(os.urandom(5 * 262144))
    print(".", flush=True)
"""

FILL = """
import os, sys
from pathlib import Path
from apps.content.domain.cid import cid_of
from apps.content.errors import ContentStoreFull
from apps.content.store import open_store

root = Path(sys.argv[1])
store = open_store(f"file://{root}")
kept = []
for _ in range(1000):
    data = os.urandom(100_000)
    try:
        kept.append(store.put(data))
    except ContentStoreFull as full:
        assert full.code == "content_store_full"
        refused = cid_of(data)
        break
else:
    raise SystemExit("never full")
assert kept and all(store.get(cid) for cid in kept)
assert not store.has(refused)
files = [path for path in root.rglob("*") if path.is_file()]
assert sorted(path.name for path in files) == sorted(kept), files
print("full after", len(kept))
"""

LIMITED = (
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
)
REFUSE_TOO_BIG_A_FILE = """
import sys
from pathlib import Path
from apps.content.errors import ContentStoreFull
from apps.content.store import open_store
store = open_store(f"file://{sys.argv[1]}")
small = store.put(b"small")
try:
    store.put(bytes(100_000))
except ContentStoreFull:
    print("refused")
assert store.get(small) == b"small"
assert len([path for path in Path(sys.argv[1]).rglob("*") if path.is_file()]) == 1
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def private_mounts() -> list[str]:
    """How this user gets a mount namespace of its own."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


def can_mount() -> bool:
    return (
        subprocess.run(
            [*private_mounts(), "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_a_writer_killed_at_any_moment_leaves_only_whole_blocks(tmp_path: Path):
    for _ in range(4):
        writer = subprocess.Popen(
            python(WRITE_FOR_EVER, str(tmp_path)), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.read(3)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

    blocks = [path for path in tmp_path.rglob("baf*") if path.is_file()]
    assert len(blocks) > 20
    assert all(path.stat().st_size <= CHUNK_BYTES for path in blocks)
    assert all(is_intact(Block(cid=path.name, data=path.read_bytes())) for path in blocks)


@pytest.mark.skipif(not can_mount(), reason="this user may not mount a small file system to fill")
def test_a_full_file_system_is_said_and_nothing_half_written_stays(tmp_path: Path):
    mount = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$@"'
    done = subprocess.run(
        [*private_mounts(), "sh", "-c", mount, "sh", *python(FILL, str(tmp_path))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full after")


def test_a_file_size_limit_is_said_and_nothing_half_written_stays(tmp_path: Path):
    done = subprocess.run(
        python(LIMITED + REFUSE_TOO_BIG_A_FILE, str(tmp_path)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"
