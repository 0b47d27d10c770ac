"""`python -m local.demo [APPLICATION]`: the main job, twice: without guest processing, and with it."""

import sys

from local.demo.command import UNAVAILABLE, enter_sandbox, perform
from local.demo.script import demonstrate
from local.guests.applications import UnknownApplicationError, application_of
from local.world.capability import can_use_real_disks


def main(arguments: list[str]) -> int:
    """Run the demonstration, in private namespaces where the machine allows them; its exit code."""
    capability = can_use_real_disks()
    try:
        application = application_of(*(arguments or ["ledger"]))
    except UnknownApplicationError as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    obstacle = application.obstacle()
    if application.needs_real_disks and not capability.ok:
        obstacle = f"{application.name} needs real disks: {capability.reason}"
    if obstacle:
        print(obstacle, file=sys.stderr)
        return UNAVAILABLE
    if capability.ok:
        enter_sandbox("local.demo", application.name)
    return perform(lambda: demonstrate(application, capability.reason))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
