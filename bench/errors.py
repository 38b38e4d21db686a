"""Why a bench could not be made: said in one line, no traceback."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence


class ServiceMissing(Exception):
    """A server or a part that the bench needs does not answer or is not installed."""


class BenchFailed(Exception):
    """The bench ran and did not come to its end: a time-out, or something was not confirmed."""


class BenchStopped(Exception):
    """A stop was asked for."""


def run_bench(main: Callable[[], None]) -> None:
    """Run a bench's main function; exit with 1 and one line where it could not be made, 130 when stopped."""
    try:
        main()
    except (ServiceMissing, BenchFailed) as exc:
        sys.exit(f"{type(exc).__name__}: {exc}")
    except (BenchStopped, KeyboardInterrupt):
        sys.exit(130)


def run_to_end(
    command: Sequence[str], *, timeout_seconds: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run a part of a bench in a process of its own; raise BenchFailed unless it succeeds in time.

    A stop, or the end of the time, is a SIGTERM first, so that it can take down what it has started.
    """
    process = subprocess.Popen(command, env=environment)
    try:
        code = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        raise BenchFailed(f"{' '.join(command[1:3])}: not over within {timeout_seconds:.0f} s") from None
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if code != 0:
        raise BenchFailed(f"{' '.join(command[1:3])} ended with {code}")
