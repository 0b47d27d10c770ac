"""The ledger: an application whose journal and accounts lie on different disks, and which checks itself.

python -m local.guests.ledger serve   --journal DIR --accounts DIR [--receipts DIR] --socket PATH
                              hold    --socket PATH [--timeout SECONDS]
                              release --socket PATH [--timeout SECONDS]
                              status  --socket PATH
                              check   --journal DIR --accounts DIR [--receipts DIR]

Each prints one JSON line. Exit codes: 0 done (check: the copy is whole), 1 not done (check: it is broken),
2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.guests.books import BooksError, recover
from local.guests.control import DEFAULT_TIMEOUT_S, control
from local.guests.serving import ServeOptions, serve

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "serve":
            return _serve(options)
        case "check":
            return _check(options)
        case command:
            return control(command, str(options.socket), options.timeout)


def _serve(options: argparse.Namespace) -> int:
    try:
        return serve(
            ServeOptions(
                journal=options.journal,
                accounts=options.accounts,
                receipts=options.receipts,
                socket=options.socket,
                clients=options.clients,
                seed=options.seed,
                with_parent=options.with_parent,
            )
        )
    except (BooksError, OSError) as error:
        print(f"ledger serve: {error}", file=sys.stderr)
        return 1


def _check(options: argparse.Namespace) -> int:
    try:
        recovered = recover(options.journal, options.accounts, options.receipts)
    except BooksError as error:
        print(json.dumps({"whole": False, "reason": error.reason, "transfers": 0}))
        return 1
    reason = "replayed: the total is right, no acknowledged transfer is missing"
    print(json.dumps({"whole": True, "reason": reason, "transfers": recovered.last}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run the application under write load")
    check = commands.add_parser("check", help="recover a copy by replay and say whether it is whole")
    for command in (serve, check):
        command.add_argument("--journal", type=Path, required=True, help="folder on the journal's disk")
        command.add_argument("--accounts", type=Path, required=True, help="folder on the accounts' disk")
        command.add_argument("--receipts", type=Path, help="folder on the disk with the clients' receipts")
    serve.add_argument("--socket", type=Path, required=True, help="control socket to make")
    serve.add_argument("--clients", type=int, default=4, help="threads that transfer (default 4)")
    serve.add_argument("--seed", default="0", help="which transfers they make")
    serve.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    for name, doing in (("hold", "stop all writes"), ("release", "let writes go on"), ("status", "figures")):
        command = commands.add_parser(name, help=doing)
        command.add_argument("--socket", type=Path, required=True, help="control socket of the application")
        command.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT_S, help="seconds (default 5)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
