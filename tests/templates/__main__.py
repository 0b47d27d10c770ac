"""``python -m tests.templates``: look at the templates, and fail if something is wrong."""

import sys
from pathlib import Path

from tests.templates.checks import findings

if __name__ == "__main__":
    found = findings(Path(__file__).resolve().parents[2])
    sys.stdout.writelines(f"{each}\n" for each in found)
    sys.exit(1 if found else 0)
