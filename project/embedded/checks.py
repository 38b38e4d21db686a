"""`make test`: lint, types, import contracts, then every test; says at the end what failed.

The suite runs on SQLite and a private Redis, and a second time on PostgreSQL and Redis where
DATABASE_URL or REDIS_URL are given; the RabbitMQ tests run where AMQP_URL is given. The flows, which
bring up a whole deployment and hurt it, run once, by themselves.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from project.env import REPOSITORY

_SERVERS: Final = ("DATABASE_URL", "REDIS_URL", "AMQP_URL")
_FLOWS: Final = "tests/flows"
#: a test of real processes may fail once on a busy machine; a second time is a fault. Reruns are reported.
_ONCE_MORE: Final = ("--reruns", "1", "-rfER")
_PYTEST: Final = (
    *("-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", f"--ignore={_FLOWS}"),
    *_ONCE_MORE,
)
_LINT_IMPORTS: Final = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports_command())"
_AMQP_TESTS: Final = "tests/integration/amqp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One command, run as `python …` in the repository, with the servers it may see."""

    name: str
    arguments: tuple[str, ...]
    servers: tuple[str, ...] = ()


def main(arguments: list[str]) -> int:
    """Run every check, the later ones also after a failure; 0 when all passed."""
    parser = argparse.ArgumentParser(description="Check this checkout.")
    parser.add_argument("--no-tests", action="store_true", help="lint, types and import contracts only")
    are_tests_left_out = parser.parse_args(arguments).no_tests
    checks = static_checks() if are_tests_left_out else [*static_checks(), *test_checks(os.environ)]

    try:
        results = [(check.name, *run(check)) for check in checks]
    except KeyboardInterrupt:
        return 130

    print("\nSummary")
    for name, code, seconds in results:
        print(f"  {'ok    ' if code == 0 else 'FAILED'}  {seconds:7.1f} s  {name}")
    return 1 if any(code for _, code, _ in results) else 0


def static_checks() -> list[Check]:
    """What needs no running part."""
    return [
        Check(name="lint", arguments=("-m", "ruff", "check", "--output-format", "concise", ".")),
        Check(name="format", arguments=("-m", "ruff", "format", "--check", "--quiet", ".")),
        Check(name="types", arguments=("-m", "mypy", ".")),
        Check(name="import contracts", arguments=("-c", _LINT_IMPORTS)),
    ]


def test_checks(environ: Mapping[str, str]) -> list[Check]:
    """The suite, once per set of servers that is there."""
    checks = [Check(name="tests on SQLite and a private Redis", arguments=_PYTEST)]
    given = tuple(name for name in ("DATABASE_URL", "REDIS_URL") if environ.get(name))
    if given:
        checks.append(
            Check(name=f"tests on the given {' and '.join(given)}", arguments=_PYTEST, servers=given)
        )
    if environ.get("AMQP_URL"):
        arguments = ("-m", "pytest", "-q", _AMQP_TESTS)
        checks.append(Check(name="RabbitMQ smoke", arguments=arguments, servers=(*given, "AMQP_URL")))
    checks.append(
        Check(name="flows on a whole deployment", arguments=("-m", "pytest", "-q", _FLOWS, *_ONCE_MORE))
    )
    return checks


def run(check: Check) -> tuple[int, float]:
    """Run one check with its output on the terminal; its exit code and how long it took."""
    print(f"\n── {check.name}", flush=True)
    hidden = set(_SERVERS) - set(check.servers)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    began = time.monotonic()
    done = subprocess.run([sys.executable, *check.arguments], cwd=REPOSITORY, env=environment, check=False)
    return done.returncode, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
