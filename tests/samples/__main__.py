"""`python -m tests.samples`: keep a sample of each form that is not that of the newest sample any more."""

import asyncio
import sys

from tests.samples.kept import NotAdditive, keep
from tests.samples.written import everything


def main() -> int:
    """Write what is new; 1 when a form changed that needs a new version first."""
    failed = 0
    for area, written in asyncio.run(everything()).items():
        try:
            path = keep(area, written)
        except NotAdditive as error:
            print(error, file=sys.stderr)
            failed = 1
        else:
            print(f"{area}: {path.relative_to(path.parents[1]) if path else 'as it was'}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
