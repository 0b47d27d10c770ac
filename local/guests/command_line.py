"""The command line that every application of the guests has.

python -m local.guests.APPLICATION serve   --ROLE DIR ... [--receipts DIR] --socket PATH
                                   hold    --socket PATH [--timeout SECONDS]
                                   release --socket PATH [--timeout SECONDS]
                                   pause, go-on, status  --socket PATH
                                   check   --ROLE DIR ... [--receipts DIR]

A role names what a disk is for (`--journal`, `--wal`). Each command prints one JSON line. Exit codes: 0 done
(check: the copy is whole), 1 not done (check: it is broken), 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.guests.control import DEFAULT_TIMEOUT_S, control
from local.guests.serving import Life

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Folders:
    """Where an application's data lie: a folder on the disk of each role, and the clients' receipts."""

    by_role: Mapping[str, Path]
    receipts: Path | None


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen and how much load to make; `choices` are the application's own options."""

    folders: Folders
    socket: Path
    clients: int
    seed: str
    choices: Mapping[str, str]


_ORDERS = {
    "hold": "stop all writes",
    "release": "let writes go on",
    "pause": "let the clients rest",
    "go-on": "let the clients work again",
    "status": "figures",
}


class ServeError(Exception):
    """The application cannot run; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Finding:
    """What a copy of the application's data is worth. `transfers` counts what it holds after recovery."""

    whole: bool
    reason: str
    transfers: int


@dataclass(frozen=True)
class CommandLine:
    """An application: the roles of its data disks, how it runs, how a copy of it is checked.

    `serve` runs until the life's end and returns the exit code; it raises ServeError or OSError when it
    cannot start. `choices` are options of `serve` and their values; the first is the default.
    """

    name: str
    roles: tuple[str, ...]
    serve: Callable[[ServeOptions, Life], int]
    check: Callable[[Folders], Finding]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def main(self, arguments: Sequence[str]) -> int:
        """Run one command and return its exit code."""
        options = self._parser().parse_args(arguments)
        match options.command:
            case "serve":
                return self._serve(options)
            case "check":
                return self._check(options)
            case command:
                return control(command, str(options.socket), options.timeout)

    def _serve(self, options: argparse.Namespace) -> int:
        chosen = {name: str(getattr(options, name)) for name in self.choices}
        asked = ServeOptions(self._folders(options), options.socket, options.clients, options.seed, chosen)
        try:
            return self.serve(asked, Life(with_parent=options.with_parent))
        except (ServeError, OSError) as error:
            print(f"{self.name} serve: {error}", file=sys.stderr)
            return 1

    def _check(self, options: argparse.Namespace) -> int:
        found = self.check(self._folders(options))
        print(json.dumps({"whole": found.whole, "reason": found.reason, "transfers": found.transfers}))
        return 0 if found.whole else 1

    def _folders(self, options: argparse.Namespace) -> Folders:
        return Folders({role: getattr(options, role) for role in self.roles}, options.receipts)

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog=self.name, allow_abbrev=False)
        commands = parser.add_subparsers(dest="command", required=True)
        serve = commands.add_parser("serve", help="run the application under write load")
        check = commands.add_parser("check", help="recover a copy and say whether it is whole")
        for command in (serve, check):
            for role in self.roles:
                command.add_argument(f"--{role}", type=Path, required=True, help=f"folder on the {role} disk")
            command.add_argument(
                "--receipts", type=Path, help="folder on the disk with the clients' receipts"
            )
        serve.add_argument("--socket", type=Path, required=True, help="control socket to make")
        serve.add_argument("--clients", type=int, default=4, help="threads that transfer (default 4)")
        serve.add_argument("--seed", default="0", help="which transfers they make")
        serve.add_argument("--with-parent", action="store_true", help="end when standard input closes")
        for name, values in self.choices.items():
            serve.add_argument(f"--{name}", choices=values, default=values[0])
        for name, doing in _ORDERS.items():
            command = commands.add_parser(name, help=doing)
            command.add_argument(
                "--socket", type=Path, required=True, help="the application's control socket"
            )
            command.add_argument(
                "--timeout", type=float, default=DEFAULT_TIMEOUT_S, help="seconds (default 5)"
            )
        return parser
