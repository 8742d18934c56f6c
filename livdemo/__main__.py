"""python -m livdemo ..."""

import sys

from livdemo.cli import main

sys.exit(main())
