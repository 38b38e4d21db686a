"""The vendored files are those of the lock file, with their licences; nothing points elsewhere."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VENDOR = ROOT / "assets" / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
LOCK = json.loads((ROOT / "frontend" / "package-lock.json").read_text())
OWN = sorted([*(ROOT / "assets" / "js").glob("*.js"), *(ROOT / "assets" / "css").glob("*.css")])


def test_every_vendored_file_is_the_one_in_the_manifest():
    named = {name: digest for entry in MANIFEST.values() for name, digest in entry["files"].items()}

    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}

    assert found == named


def test_versions_are_those_of_the_lock_file_and_every_licence_is_there():
    for name, entry in MANIFEST.items():
        assert LOCK["packages"][f"node_modules/{name}"]["version"] == entry["version"]
        assert entry["licence"] == "MIT"
        assert "Permission is hereby granted" in (VENDOR / entry["licence_file"]).read_text()


def test_the_lock_file_names_no_address():
    assert "resolved" not in json.dumps(LOCK)
    assert "http" not in json.dumps(LOCK)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_own_files_load_nothing_from_elsewhere_and_stay_readable(path: Path):
    text = path.read_text()

    found = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert found <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\.(inner|outer)HTML|insertAdjacentHTML|\beval\(", text)
    assert len(text.splitlines()) <= 400


def test_templates_have_no_address_of_another_host():
    for path in (ROOT / "templates").rglob("*.html"):
        assert not re.findall(r"(?:src|href|action)=[\"']?(?:https?:)?//", path.read_text()), path
