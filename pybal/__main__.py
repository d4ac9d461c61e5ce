"""Run the command ``pybal`` as ``python -m pybal``."""

import sys

from pybal.cli import main

sys.exit(main())
