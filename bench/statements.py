"""SQL statements and CPU per task, step by step, for sets of 1, 10, 100 and 500 tasks.

    python -m bench.statements [--sizes 1,100] [--profile attest]

On SQLite, and on PostgreSQL where `--database` or DATABASE_URL names a server, each in a process of its own
(`bench/life.py`) with a test database of its own.
"""

import argparse
import os
import sys

from bench.errors import run_bench, run_to_end

_TIMEOUT_SECONDS = 600


def main() -> None:
    """Measure one database after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,10,100,500")
    parser.add_argument("--rounds", type=int, default=3, help="lives of each size; the cheapest is told")
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--only", choices=("sqlite", "postgresql"), default="")
    parser.add_argument("--profile", default="", help="a step's name, or all: print where its time goes")
    options = parser.parse_args()
    urls = [] if options.only == "postgresql" else [""]
    if options.database.startswith("postgres") and options.only != "sqlite":
        urls.append(options.database)
    for url in urls:
        command = [sys.executable, "-m", "bench.life", options.sizes, str(options.rounds), options.profile]
        environment = {**os.environ, "DATABASE_URL": url}
        run_to_end(command, timeout_seconds=_TIMEOUT_SECONDS, environment=environment)


if __name__ == "__main__":
    run_bench(main)
