"""`python -m sidecard`."""

import sys

from sidecard.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
