"""The agent's command line: `agent.pyz check|enrol|installer|place|run|tidy`; two verbs more for itself."""

import argparse
import os
import sys
from typing import Callable, Dict, List

from agent import VERSION, check, installer, startup, versions

_VERBS: Dict[str, Callable[[argparse.Namespace], int]] = {
    "run": lambda options: startup.stay() if options.resident else startup.run(options.detach),
    "check": lambda options: check.main(os.environ, options.endpoint, options.json),
    "enrol": lambda _: startup.enrol(),
    "installer": lambda _: installer.main(),
    "place": lambda options: versions.main(options.folder),
    "tidy": lambda _: startup.run_tidy(),
    "dead-man": lambda options: startup.run_dead_man(options.state_dir),
    "hold": lambda options: startup.run_holder(options.state_dir),
}


def main(arguments: List[str]) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="agent.pyz", description="The guest agent of Stillframe.")
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb")
    run = verbs.add_parser("run", help="serve the session of the bootstrap in STILLFRAME_BOOTSTRAP")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="return at once and go on as a daemon")
    how.add_argument("--resident", action="store_true", help="serve every session, by this guest's enrolment")
    look = verbs.add_parser("check", help="say what would stop the agent in this guest (also: --check)")
    look.add_argument("--json", action="store_true", help="say it as one JSON object")
    look.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="URL",
        help="of a storage service: try the way there too",
    )
    verbs.add_parser("enrol", help="keep the bootstrap in STILLFRAME_BOOTSTRAP for the resident agent")
    verbs.add_parser("installer", help="print the shell script that installs, upgrades and removes the agent")
    place = verbs.add_parser("place", help="on Windows: make this the version that is installed in a folder")
    place.add_argument("folder")
    verbs.add_parser("tidy", help="at boot: delete what a reboot kept an earlier agent from deleting")
    dead_man = verbs.add_parser("dead-man", help="started by the agent, with pipes as stdin and stdout")
    dead_man.add_argument("state_dir")
    hold = verbs.add_parser("hold", help="started by the agent for one handler, likewise")
    hold.add_argument("state_dir")
    if arguments[:1] == ["--check"]:
        arguments = ["check", *arguments[1:]]
    options = parser.parse_args(arguments)
    verb = _VERBS.get(options.verb)
    if verb is not None:
        return verb(options)
    parser.print_help()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
