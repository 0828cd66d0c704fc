"""``python -m thorax`` is the command ``thorax``."""

import sys

from thorax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
