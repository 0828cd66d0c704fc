"""``python -m plainfilm`` is the command ``plainfilm``."""

import sys

if __name__ == "__main__":
    try:
        from plainfilm.cli.main import main

        status = main()
    except KeyboardInterrupt:  # before the command itself could look after it
        status = 130
    sys.exit(status)
