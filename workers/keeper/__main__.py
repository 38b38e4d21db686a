"""`python -m workers.keeper`: one keeper node, set up by its environment (see config.py)."""

import os
import sys

from workers.keeper.app import main

if __name__ == "__main__":
    sys.exit(main(os.environ))
