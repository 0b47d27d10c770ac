"""The ledger's files: a journal on one disk, accounts on another, receipts on a third.

A transfer is first appended to the journal and flushed, then applied to the accounts and flushed, then
acknowledged to its client, who keeps a receipt. So at any single instant the three belong together:
receipts <= journal, and the accounts lie between the journal's first and last transfer. Copies of the
disks taken at different instants break that, which is what `recover` finds out.

Every number on disk is little-endian. A transfer's sequence number starts at 1.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from local.guests.receipts import ReceiptsUnreadableError, flush_folder, receipts_in

if TYPE_CHECKING:
    from pathlib import Path

OPENING_BALANCE = 1_000

_JOURNAL_HEADER = struct.Struct("<4sQI")  # magic, sequence and chain of the last transfer trimmed away
_JOURNAL_MAGIC = b"SFJ1"
_ENTRY = struct.Struct("<QIIq")  # sequence, source, target, amount
_CHAIN = struct.Struct("<I")  # CRC over this entry and the chain before it
_RECORD_SIZE = _ENTRY.size + _CHAIN.size

_ACCOUNTS_HEADER = struct.Struct("<4sIQ")  # magic, number of accounts, checkpoint
_ACCOUNTS_MAGIC = b"SFA1"
_ACCOUNT = struct.Struct("<qQ")  # balance, sequence of the last transfer applied
_SLOT = 32  # bytes per account record and for the header; the CRC follows the fields


class BooksError(Exception):
    """The ledger's files do not belong together; `reason` says in words what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Transfer:
    """One movement of money between two accounts."""

    sequence: int
    source: int
    target: int
    amount: int

    def pack(self) -> bytes:
        """Return the entry's bytes, without its chain."""
        return _ENTRY.pack(self.sequence, self.source, self.target, self.amount)


@dataclass(frozen=True)
class Account:
    """One account's balance, and the sequence of the last transfer that it contains."""

    balance: int
    applied: int

    def after(self, sequence: int, amount: int) -> Account:
        """Return the account with one transfer applied; a transfer that it contains changes nothing."""
        if sequence <= self.applied:
            return self
        return Account(self.balance + amount, sequence)


@dataclass(frozen=True)
class JournalContent:
    """What a journal file says: the transfers after `base`, and the chain that they end with."""

    base: int
    transfers: tuple[Transfer, ...]
    chain: int

    @property
    def last(self) -> int:
        """Sequence of the last transfer."""
        return self.base + len(self.transfers)


@dataclass(frozen=True)
class Recovered:
    """The state that replay arrives at."""

    accounts: tuple[Account, ...]
    last: int
    chain: int


class JournalFile:
    """The append-only journal, open for writing. Not for use by several threads at once."""

    NAME = "journal.log"

    def __init__(self, folder: Path, base: int, chain: int) -> None:
        """Write a new, empty journal that goes on after transfer `base`; an older one is replaced."""
        self._folder = folder
        self.last = base
        self._chain = chain
        self._fd = self._replace()

    def append(self, transfer: Transfer) -> None:
        """Append one transfer; it is on the disk when this returns.

        Raises OSError when the disk does not take it.
        """
        entry = transfer.pack()
        self._chain = crc32(entry, self._chain)
        os.write(self._fd, entry + _CHAIN.pack(self._chain))
        os.fdatasync(self._fd)
        self.last = transfer.sequence

    def trim(self) -> None:
        """Forget all transfers so far: the accounts on the disk must contain them."""
        old, self._fd = self._fd, self._replace()
        os.close(old)

    def flush(self) -> None:
        """Bring to the disk whatever is not there yet."""
        os.fsync(self._fd)

    def _replace(self) -> int:
        new = self._folder / f"{self.NAME}.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(fd, _JOURNAL_HEADER.pack(_JOURNAL_MAGIC, self.last, self._chain))
        os.fsync(fd)
        new.rename(self._folder / self.NAME)
        flush_folder(self._folder)
        return fd


class AccountsFile:
    """The accounts, open for writing. Not for use by several threads at once."""

    NAME = "accounts.dat"

    def __init__(self, folder: Path, accounts: tuple[Account, ...], checkpoint: int) -> None:
        """Write the accounts file anew; an older one is replaced."""
        self.accounts = list(accounts)
        new = folder / f"{self.NAME}.new"
        self._fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number in range(len(accounts)):
            self._write(number)
        self.checkpoint(checkpoint)
        new.rename(folder / self.NAME)
        flush_folder(folder)

    def apply(self, transfer: Transfer) -> None:
        """Apply one transfer; both accounts are on the disk when this returns."""
        for number, amount in ((transfer.source, -transfer.amount), (transfer.target, transfer.amount)):
            self.accounts[number] = self.accounts[number].after(transfer.sequence, amount)
            self._write(number)
        os.fdatasync(self._fd)

    def checkpoint(self, sequence: int) -> None:
        """Say that all transfers up to `sequence` are applied, so that the journal may forget them."""
        header = _ACCOUNTS_HEADER.pack(_ACCOUNTS_MAGIC, len(self.accounts), sequence)
        os.pwrite(self._fd, _sealed(header), 0)
        os.fsync(self._fd)

    def flush(self) -> None:
        """Bring to the disk whatever is not there yet."""
        os.fsync(self._fd)

    def _write(self, number: int) -> None:
        account = self.accounts[number]
        os.pwrite(self._fd, _sealed(_ACCOUNT.pack(account.balance, account.applied)), _SLOT * (number + 1))


def recover(journal: Path, accounts: Path, receipts: Path | None) -> Recovered:
    """Replay the journal over the accounts, reading only, and check every invariant of the ledger.

    Raises BooksError with the first one that does not hold.
    """
    log = _read_journal(journal / JournalFile.NAME)
    checkpoint, stored = _read_accounts(accounts / AccountsFile.NAME)
    newest = max((account.applied for account in stored), default=0)
    if newest > log.last:
        raise BooksError(
            f"accounts ahead of journal: transfer {newest} is applied, the journal ends at {log.last}"
        )
    if checkpoint < log.base:
        raise BooksError(
            f"journal trimmed: it begins after transfer {log.base}, the accounts contain {checkpoint}"
        )
    replayed = _replay(stored, log.transfers)
    total, expected = sum(account.balance for account in replayed), OPENING_BALANCE * len(replayed)
    if total != expected:
        raise BooksError(f"the total is {total} instead of {expected}")
    promised = _newest(receipts) if receipts else 0
    if promised > log.last:
        raise BooksError(f"transfer {promised} was acknowledged, the journal ends at {log.last}")
    return Recovered(replayed, log.last, log.chain)


def _replay(stored: tuple[Account, ...], transfers: tuple[Transfer, ...]) -> tuple[Account, ...]:
    accounts = list(stored)
    for transfer in transfers:
        if max(transfer.source, transfer.target) >= len(accounts):
            raise BooksError(f"transfer {transfer.sequence} names an account that is not there")
        for number, amount in ((transfer.source, -transfer.amount), (transfer.target, transfer.amount)):
            accounts[number] = accounts[number].after(transfer.sequence, amount)
    return tuple(accounts)


def _read_journal(path: Path) -> JournalContent:
    data = _read(path, "journal")
    if len(data) < _JOURNAL_HEADER.size or not data.startswith(_JOURNAL_MAGIC):
        raise BooksError("the journal has no header")
    _, base, chain = _JOURNAL_HEADER.unpack_from(data)
    transfers: list[Transfer] = []
    at = _JOURNAL_HEADER.size
    while at + _RECORD_SIZE <= len(data):
        following = crc32(data[at : at + _ENTRY.size], chain)
        transfer = Transfer(*_ENTRY.unpack_from(data, at))
        (stored,) = _CHAIN.unpack_from(data, at + _ENTRY.size)
        if following != stored or transfer.sequence != base + len(transfers) + 1:
            break
        transfers.append(transfer)
        chain = following
        at += _RECORD_SIZE
    # Each append is flushed before the next begins: only the very last one can be torn.
    if len(data) - at > _RECORD_SIZE:
        raise BooksError(f"the journal is damaged after transfer {base + len(transfers)}")
    return JournalContent(base, tuple(transfers), chain)


def _read_accounts(path: Path) -> tuple[int, tuple[Account, ...]]:
    data = _read(path, "accounts file")
    if len(data) < _SLOT or not data.startswith(_ACCOUNTS_MAGIC):
        raise BooksError("the accounts file has no header")
    _, count, checkpoint = _ACCOUNTS_HEADER.unpack(_unsealed(data, 0, _ACCOUNTS_HEADER.size))
    if len(data) < _SLOT * (count + 1):
        raise BooksError(f"the accounts file ends before account {count - 1}")
    numbers = range(1, count + 1)
    packed = (_unsealed(data, _SLOT * number, _ACCOUNT.size) for number in numbers)
    return checkpoint, tuple(Account(*_ACCOUNT.unpack(record)) for record in packed)


def _newest(receipts: Path) -> int:
    try:
        return max(receipts_in(receipts).values(), default=0)
    except ReceiptsUnreadableError as error:
        raise BooksError(str(error)) from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BooksError(f"the {what} cannot be read: {error.strerror}") from error


def _sealed(packed: bytes) -> bytes:
    return (packed + _CHAIN.pack(crc32(packed))).ljust(_SLOT, b"\0")


def _unsealed(data: bytes, at: int, size: int) -> bytes:
    packed = data[at : at + size]
    if crc32(packed) != _CHAIN.unpack_from(data, at + size)[0]:
        raise BooksError(f"the accounts file is damaged at byte {at}")
    return packed
