"""`python -m workers.prover`: the prover, set up by its environment (see config.py)."""

import logging
import os
import signal
import sys

from workers.prover.config import ConfigInvalid, read_config
from workers.prover.proving import tie_to
from workers.prover.server import ProverServer

_FORMAT = '{"timestamp":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'
_EXIT_CONFIG = 2


def main() -> int:
    """Serve until told to stop; the exit code."""
    logging.basicConfig(format=_FORMAT, level=os.environ.get("LOG_LEVEL", "INFO"))
    try:
        config = read_config(os.environ)
        server = ProverServer(config)
    except (ConfigInvalid, OSError) as exc:
        sys.stderr.write(f"the prover cannot start. {exc}\n")
        return _EXIT_CONFIG
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    os.nice(config.nice)
    if config.parent is not None and not tie_to(config.parent, signal.SIGTERM):
        return 0
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
