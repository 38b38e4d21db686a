"""`python -m workers.prover`: the prover, set up by the settings of proofs (project/env.py)."""

import argparse
import logging
import os
import signal
import sys

from project.env import read_proofs
from project.variables import SettingInvalid
from workers.prover.proving import tie_to
from workers.prover.server import ProverServer

_FORMAT = '{"timestamp":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'
_EXIT_CONFIG = 2


def main(arguments: list[str]) -> int:
    """Serve until told to stop; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.prover", description="Make proofs.")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process, the parent, ends")
    parent = parser.parse_args(arguments).parent
    logging.basicConfig(format=_FORMAT, level=os.environ.get("LOG_LEVEL", "INFO"))
    try:
        proofs = read_proofs(os.environ)
        server = ProverServer(proofs)
    except (SettingInvalid, OSError) as exc:
        sys.stderr.write(f"the prover cannot start. {exc}\n")
        return _EXIT_CONFIG
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    os.nice(proofs.prover_nice)
    if parent is not None and not tie_to(parent, signal.SIGTERM):
        return 0
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
