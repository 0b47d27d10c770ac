"""`python -m local.vm`: the main job with a real virtual machine: without guest processing, and with it."""

import sys

from local.demo.command import UNAVAILABLE, enter_sandbox, interrupted, perform
from local.stack.stack import AGENT
from local.stack.waiting import TooSlowError
from local.vm.base import BaseUnavailableError
from local.vm.capability import can_run_vms
from local.vm.demo import demonstrate
from local.vm.image import image
from local.vm.machine import MachineEndedError
from local.world.restore import CheckFailedError


def main() -> int:
    """Run the demonstration in private namespaces; its exit code."""
    capability = can_run_vms()
    if not capability.ok:
        print(capability.reason, file=sys.stderr)
        return UNAVAILABLE
    enter_sandbox("local.vm")
    try:
        guest = image(AGENT, lambda what: print(what, flush=True))  # before the loop: Ctrl-C ends it at once
        return perform(lambda: demonstrate(guest))
    except KeyboardInterrupt:
        return interrupted()
    except (BaseUnavailableError, MachineEndedError, CheckFailedError, TooSlowError) as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
