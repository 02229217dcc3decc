"""`python -m latentem.cli`, for checkouts that are not installed."""

import sys

from latentem.cli import main

sys.exit(main())
