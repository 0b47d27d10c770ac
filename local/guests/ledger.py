"""The ledger: an application whose journal and accounts lie on different disks, and which checks itself.

python -m local.guests.ledger: see local/guests/command_line.py; its roles are `journal` and `accounts`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from local.guests.books import BooksError, recover
from local.guests.command_line import CommandLine, Finding, Folders, ServeError, ServeOptions
from local.guests.gated import Gated
from local.guests.load import Clients, Gate
from local.guests.service import Books, Customer
from local.guests.serving import serve

if TYPE_CHECKING:
    from local.guests.serving import Life


def _serve(options: ServeOptions, life: Life) -> int:
    folders = options.folders
    gate = Gate()
    try:
        journal, accounts = folders.by_role["journal"], folders.by_role["accounts"]
        books = Books(journal, accounts, folders.receipts, options.clients)
    except BooksError as error:
        raise ServeError(error.reason) from error
    customers = [Customer(number, books, gate, seed=options.seed) for number in range(options.clients)]
    clients = Clients(
        [customer.transfer for customer in customers],
        count=lambda: books.last,
        held=lambda: gate.closed,
        on_failure=life.fail,
    )
    clients.start()
    return serve(Gated(gate, clients, books.flush), options.socket, life)


def _check(folders: Folders) -> Finding:
    try:
        recovered = recover(folders.by_role["journal"], folders.by_role["accounts"], folders.receipts)
    except BooksError as error:
        return Finding(whole=False, reason=error.reason, transfers=0)
    reason = "replayed: the total is right, no acknowledged transfer is missing"
    return Finding(whole=True, reason=reason, transfers=recovered.last)


LEDGER = CommandLine("ledger", ("journal", "accounts"), _serve, _check)


if __name__ == "__main__":
    sys.exit(LEDGER.main(sys.argv[1:]))
