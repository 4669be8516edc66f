"""`python -m taskward`."""

import sys

from taskward.cli import main

sys.exit(main())
