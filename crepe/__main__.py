"""`python -m crepe`."""

import sys

from crepe.cli import main

sys.exit(main())
