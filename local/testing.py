"""`python -m local.testing [pytest arguments]`: all tests that this machine allows, by two workers.

Where root, loop devices and xfsprogs are to be had, pytest runs in private namespaces, so that even a killed
run leaves no mount, loop device or process. Elsewhere it runs as it is, and the tests that need them say so.
"""

import os
import sys

from local.world.capability import can_use_real_disks
from local.world.sandbox import enclosed

#: `-n 0` among the arguments runs everything in one process, as a debugger wants it.
_WORKERS = ("-n", "2", "--dist", "loadscope")


def main(arguments: list[str]) -> None:
    """Become pytest."""
    pytest = [sys.executable, "-m", "pytest", *_WORKERS, *arguments]
    capability = can_use_real_disks()
    if not capability.ok:
        print(f"real disks are skipped: {capability.reason}", file=sys.stderr)
    command = enclosed(pytest) if capability.ok else pytest
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
