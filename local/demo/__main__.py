"""`python -m local.demo`: the main job, twice: without guest processing, and with it."""

import sys

from local.demo.command import enter_sandbox, perform
from local.demo.script import demonstrate
from local.world.capability import can_use_real_disks


def main() -> int:
    """Run the demonstration, in private namespaces where the machine allows them; its exit code."""
    capability = can_use_real_disks()
    if capability.ok:
        enter_sandbox("local.demo")
    return perform(lambda: demonstrate(capability.reason))


if __name__ == "__main__":
    sys.exit(main())
