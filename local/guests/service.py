"""The running ledger: its books and its clients."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from local.guests.books import (
    OPENING_BALANCE,
    Account,
    AccountsFile,
    JournalFile,
    Transfer,
    recover,
)
from local.guests.receipts import ReceiptsFile

if TYPE_CHECKING:
    from pathlib import Path

    from local.guests.load import Gate

ACCOUNTS = 64
TRANSFERS_BETWEEN_TRIMS = 500
TRANSFERS_BETWEEN_RECEIPT_FLUSHES = 20
LARGEST_AMOUNT = 100


class Books:
    """The three files together: one transfer at a time, in the order that makes recovery possible."""

    def __init__(self, journal: Path, accounts: Path, receipts: Path | None, clients: int) -> None:
        """Open the books, after replaying what an earlier life left; the first time they are made.

        Raises BooksError when the files do not belong together.
        """
        if (journal / JournalFile.NAME).exists() or (accounts / AccountsFile.NAME).exists():
            state = recover(journal, accounts, receipts)
            self._accounts = AccountsFile(accounts, state.accounts, state.last)
            self._journal = JournalFile(journal, state.last, state.chain)
        else:
            self._accounts = AccountsFile(accounts, (Account(OPENING_BALANCE, 0),) * ACCOUNTS, 0)
            self._journal = JournalFile(journal, 0, 0)
        self._receipts = ReceiptsFile(receipts, clients) if receipts else None
        self._one_at_a_time = threading.Lock()

    @property
    def last(self) -> int:
        """Sequence of the last transfer in the journal."""
        return self._journal.last

    def transfer(self, source: int, target: int, amount: int) -> int:
        """Move money; return the transfer's sequence once journal and accounts are on their disks."""
        with self._one_at_a_time:
            transfer = Transfer(self._journal.last + 1, source, target, amount)
            self._journal.append(transfer)
            self._accounts.apply(transfer)
            if transfer.sequence % TRANSFERS_BETWEEN_TRIMS == 0:
                self._accounts.checkpoint(transfer.sequence)
                self._journal.trim()
            return transfer.sequence

    def acknowledge(self, client: int, sequence: int) -> None:
        """Keep the client's receipt."""
        if self._receipts:
            self._receipts.write(client, sequence)
            if sequence % TRANSFERS_BETWEEN_RECEIPT_FLUSHES == 0:
                self._receipts.flush()

    def flush(self) -> None:
        """Bring to the disks whatever is not there yet."""
        with self._one_at_a_time:
            self._journal.flush()
            self._accounts.flush()
            if self._receipts:
                self._receipts.flush()


class Customer:
    """A client of the ledger: transfers between accounts that its dice choose."""

    def __init__(self, number: int, books: Books, gate: Gate, *, seed: str) -> None:
        self._number = number
        self._books = books
        self._gate = gate
        self._dice = random.Random(f"{seed}/{number}")  # load, not secrets

    def transfer(self) -> None:
        """Make one transfer, and keep its receipt.

        Raises OSError when a disk does not take it.
        """
        source, target = self._dice.sample(range(ACCOUNTS), 2)
        with self._gate.passing():
            sequence = self._books.transfer(source, target, self._dice.randint(1, LARGEST_AMOUNT))
            self._books.acknowledge(self._number, sequence)
