"""``python -m thorax`` is the command ``thorax``."""

import sys

if __name__ == "__main__":
    try:
        from thorax.cli.main import main

        status = main()
    except KeyboardInterrupt:  # before the command itself could look after it
        status = 130
    sys.exit(status)
