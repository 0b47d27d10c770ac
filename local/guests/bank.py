"""The bank: what the databases of the guests keep, and what must be true of any copy of it.

Clients move money from a checking account on one disk to a savings account on another, with a row in a
ledger, in one transaction; each client numbers its own transfers from 1. So in a whole copy the total is what
it was at the opening, every balance follows from the ledger's rows, no client's numbers have a gap, and the
ledger holds whatever the client has a receipt for. The SQL is what SQLite, PostgreSQL and MariaDB have in
common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from local.guests.command_line import Finding
from local.guests.receipts import ReceiptsUnreadableError, receipts_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

ACCOUNTS = 4_000
OPENING_BALANCE = 1_000
WHOLE = "it starts, every balance follows from the ledger, no acknowledged transfer is missing"

_FILLER = "x" * 200  # so that the tables are larger than the server's cache, and pages leave it all the time
_ROWS_AT_ONCE = 500
_COLUMNS = "(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, filler CHAR(200) NOT NULL)"
_LEDGER_COLUMNS = (
    "(client INTEGER NOT NULL, number INTEGER NOT NULL, checking INTEGER NOT NULL, savings INTEGER NOT NULL,"
    " amount INTEGER NOT NULL, PRIMARY KEY (client, number))"
)


class BankClosedError(Exception):
    """The database does not answer, or ended the connection; `reason` is what it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the database does not answer: {reason}")
        self.reason = reason


class Teller(Protocol):
    """A connection to the database, for one client."""

    def run(self, statements: Sequence[str]) -> None:
        """Run statements as one transaction: committed when this returns. Raises BankClosedError."""

    def rows(self, query: str) -> Sequence[Sequence[int]]:
        """Give a query's rows. Raises BankClosedError."""

    def close(self) -> None:
        """End the connection."""


def create_tables(savings_place: str = "", ledger_place: str = "") -> list[str]:
    """Give the statements that make the tables; what `place` says stands after a table's columns."""
    return [
        f"CREATE TABLE checking {_COLUMNS}",
        f"CREATE TABLE savings {_COLUMNS} {savings_place}",
        f"CREATE TABLE ledger {_LEDGER_COLUMNS} {ledger_place}",
    ]


def open_accounts() -> Iterator[str]:
    """Give the statements that fill the accounts."""
    for table in ("checking", "savings"):
        for first in range(0, ACCOUNTS, _ROWS_AT_ONCE):
            numbers = range(first, min(first + _ROWS_AT_ONCE, ACCOUNTS))
            values = ",".join(f"({number},{OPENING_BALANCE},'{_FILLER}')" for number in numbers)
            yield f"INSERT INTO {table} VALUES {values}"


def transfer(client: int, number: int, checking: int, savings: int, amount: int) -> list[str]:
    """Give the statements of one transfer, to be run in one transaction."""
    return [
        f"UPDATE checking SET balance = balance - {amount} WHERE id = {checking}",
        f"UPDATE savings SET balance = balance + {amount} WHERE id = {savings}",
        f"INSERT INTO ledger VALUES ({client}, {number}, {checking}, {savings}, {amount})",
    ]


def last_number(client: int) -> str:
    """Give the query for the number of a client's last transfer."""
    return f"SELECT COALESCE(MAX(number), 0) FROM ledger WHERE client = {client}"


#: Every row of the accounts, written anew: a copy must not only be read.
REWRITE = ("UPDATE checking SET balance = balance + 0", "UPDATE savings SET balance = balance + 0")


@dataclass(frozen=True)
class Statement:
    """What a copy says of itself; accounts by table and id, clients as (transfers, highest number)."""

    balances: Mapping[tuple[str, int], int]
    moved: Mapping[tuple[str, int], int]
    clients: Mapping[int, tuple[int, int]]

    @property
    def transfers(self) -> int:
        """How many transfers it holds."""
        return sum(count for count, _ in self.clients.values())


def read_statement(rows: Callable[[str], Sequence[Sequence[int]]]) -> Statement:
    """Read a copy, `rows` running a query."""
    balances, moved = {}, {}
    for table, sign in (("checking", -1), ("savings", 1)):
        for number, balance in rows(f"SELECT id, balance FROM {table}"):
            balances[table, int(number)] = int(balance)
        for number, amount in rows(f"SELECT {table}, SUM(amount) FROM ledger GROUP BY {table}"):
            moved[table, int(number)] = sign * int(amount)
    counted = rows("SELECT client, COUNT(*), MAX(number) FROM ledger GROUP BY client")
    return Statement(balances, moved, {int(client): (int(n), int(last)) for client, n, last in counted})


def objections(statement: Statement, receipts: Mapping[int, int]) -> list[str]:
    """Say in words what is not true of a copy; nothing if it is whole."""
    found = []
    for table in ("checking", "savings"):
        count = sum(1 for where, _ in statement.balances if where == table)
        if count != ACCOUNTS:
            found.append(f"{table} has {count} accounts instead of {ACCOUNTS}")
    total, expected = sum(statement.balances.values()), 2 * ACCOUNTS * OPENING_BALANCE
    if total != expected:
        found.append(f"the total is {total} instead of {expected}")
    for table in ("checking", "savings"):
        wrong = _wrong_balances(statement, table)
        if wrong:
            found.append(f"{wrong} balances of {table} do not follow from the ledger")
    for client, (count, last) in sorted(statement.clients.items()):
        if count != last:
            found.append(f"client {client} has {count} transfers, the last has number {last}")
    for client, promised in sorted(receipts.items()):
        last = statement.clients.get(client, (0, 0))[1]
        if last < promised:
            found.append(f"transfer {promised} of client {client} was acknowledged, its last is {last}")
    return found


def judge(rows: Callable[[str], Sequence[Sequence[int]]], receipts: Path | None) -> Finding:
    """Read a copy and say what it is worth."""
    statement = read_statement(rows)
    try:
        found = objections(statement, receipts_in(receipts) if receipts else {})
    except ReceiptsUnreadableError as error:
        found = [str(error)]
    return Finding(whole=not found, reason="; ".join(found) or WHOLE, transfers=statement.transfers)


def broken(reason: str) -> Finding:
    """Give the finding for a copy that cannot even be read."""
    return Finding(whole=False, reason=reason, transfers=0)


def _wrong_balances(statement: Statement, table: str) -> int:
    wrong = 0
    for (where, number), balance in statement.balances.items():
        wrong += where == table and balance != OPENING_BALANCE + statement.moved.get((where, number), 0)
    return wrong
