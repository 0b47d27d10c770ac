"""The agent's command line: `agent.pyz run [--detach]`. `dead-man` and `hold` are for the agent itself."""

import argparse
import sys
from typing import List

from agent import VERSION, startup


def main(arguments: List[str]) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="agent.pyz", description="The guest agent of Stillframe.")
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb")
    run = verbs.add_parser("run", help="serve the session of the bootstrap in STILLFRAME_BOOTSTRAP")
    run.add_argument("--detach", action="store_true", help="return at once and go on as a daemon")
    dead_man = verbs.add_parser("dead-man", help="started by the agent, with pipes as stdin and stdout")
    dead_man.add_argument("state_dir")
    hold = verbs.add_parser("hold", help="started by the agent for one handler, likewise")
    hold.add_argument("state_dir")
    options = parser.parse_args(arguments)
    if options.verb == "run":
        return startup.run(options.detach)
    if options.verb == "dead-man":
        return startup.run_dead_man(options.state_dir)
    if options.verb == "hold":
        return startup.run_holder(options.state_dir)
    parser.print_help()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
