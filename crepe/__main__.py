"""`python -m crepe`."""

import sys

from crepe.cli import main

if __name__ == "__main__":
    sys.exit(main())
