"""The running ledger: clients that transfer as fast as they can, and a gate that holds them still."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.guests.books import (
    OPENING_BALANCE,
    Account,
    AccountsFile,
    JournalFile,
    ReceiptsFile,
    Transfer,
    recover,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACCOUNTS = 64
TRANSFERS_BETWEEN_TRIMS = 500
TRANSFERS_BETWEEN_RECEIPT_FLUSHES = 20
LARGEST_AMOUNT = 100


class HoldTimeoutError(Exception):
    """Writes in flight did not end within the time-out; the application was let go on."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"writes in flight did not end within {timeout_s:g} s")
        self.timeout_s = timeout_s


class ReleasedMeanwhileError(Exception):
    """Somebody released the application while it was about to be held."""

    def __init__(self) -> None:
        super().__init__("the application was released meanwhile")


class NothingWrittenError(Exception):
    """The application was released, but no transfer ended within the time-out."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"released, but no transfer ended within {timeout_s:g} s")
        self.timeout_s = timeout_s


@dataclass(frozen=True)
class Status:
    """What an administrator sees of the application; times in milliseconds."""

    transfers: int
    held: bool
    last_write_age_ms: float
    longest_stall_ms: float


class Gate:
    """Lets writers pass, or holds all of them outside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._inside = 0

    @property
    def closed(self) -> bool:
        """Whether writers are held."""
        return self._closed

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait until the gate is open, then be inside for the length of the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Hold everybody; nobody is inside when this returns.

        Raises HoldTimeoutError, with the gate as it was before, when someone stays inside, and
        ReleasedMeanwhileError when the gate was opened while this waited.
        """
        with self._changed:
            before, self._closed = self._closed, True
            ended = self._changed.wait_for(lambda: self._inside == 0 or not self._closed, timeout_s)
            if not self._closed:
                raise ReleasedMeanwhileError
            if not ended:
                self._closed = before
                self._changed.notify_all()
                raise HoldTimeoutError(timeout_s)

    def open(self) -> None:
        """Let everybody pass."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


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


class Clients:
    """Threads that transfer as fast as they can, and note how long each had to wait."""

    def __init__(
        self,
        books: Books,
        gate: Gate,
        *,
        count: int,
        seed: str,
        on_failure: Callable[[OSError], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make the clients; `on_failure` hears of a disk that takes no more writes, once per client."""
        self._books = books
        self._gate = gate
        self._on_failure = on_failure
        self._clock_ns = clock_ns
        now = clock_ns()
        self._asked_at = [now] * count  # when each client asked for the transfer it waits for
        self._longest_ns = [0] * count
        self._last_write = now
        self._threads = [
            threading.Thread(
                target=self._work, args=(client, random.Random(f"{seed}/{client}")), daemon=True
            )  # load, not secrets
            for client in range(count)
        ]

    def start(self) -> None:
        """Let them work."""
        for thread in self._threads:
            thread.start()

    def status(self) -> Status:
        """Return the figures of this instant; never waits for a disk."""
        now = self._clock_ns()
        stalls = [*self._longest_ns, *(now - asked for asked in self._asked_at)]
        return Status(
            transfers=self._books.last,
            held=self._gate.closed,
            last_write_age_ms=round((now - self._last_write) / 1e6, 3),
            longest_stall_ms=round(max(stalls, default=0) / 1e6, 3),
        )

    def _work(self, client: int, dice: random.Random) -> None:
        try:
            while True:
                self._asked_at[client] = self._clock_ns()
                self._transfer_once(client, dice)
                ended = self._clock_ns()
                self._longest_ns[client] = max(self._longest_ns[client], ended - self._asked_at[client])
                self._last_write = ended
        except OSError as error:
            self._on_failure(error)

    def _transfer_once(self, client: int, dice: random.Random) -> None:
        source, target = dice.sample(range(ACCOUNTS), 2)
        with self._gate.passing():
            sequence = self._books.transfer(source, target, dice.randint(1, LARGEST_AMOUNT))
            self._books.acknowledge(client, sequence)


class Application:
    """The ledger as its administrator handles it: hold, release, status."""

    def __init__(self, books: Books, gate: Gate, clients: Clients) -> None:
        self._books = books
        self._gate = gate
        self._clients = clients

    def hold(self, timeout_s: float) -> Status:
        """Stop all writes; when this returns none is in flight and everything is on the disks.

        Holding what is held changes nothing. Raises HoldTimeoutError, with things as they were before, and
        ReleasedMeanwhileError.
        """
        self._gate.close(timeout_s)
        self._books.flush()
        status = self._clients.status()
        if not status.held:
            raise ReleasedMeanwhileError
        return status

    def release(self, timeout_s: float) -> Status:
        """Let writes go on; when this returns at least one has ended.

        Releasing what is not held changes nothing. Raises NothingWrittenError.
        """
        before = self._books.last
        self._gate.open()
        deadline = time.monotonic() + timeout_s
        while self._books.last == before:
            if time.monotonic() > deadline:
                raise NothingWrittenError(timeout_s)
            time.sleep(0.001)
        return self._clients.status()

    def let_go(self) -> None:
        """Let writes go on, without waiting to see one."""
        self._gate.open()

    def status(self) -> Status:
        """Return the figures of this instant."""
        return self._clients.status()
