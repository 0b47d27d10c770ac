"""The bank's customers: clients that transfer, keep receipts, and come back when the bank was closed."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING

from local.guests.bank import ACCOUNTS, BankClosedError, last_number, transfer
from local.guests.load import Clients
from local.guests.receipts import ReceiptsFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.guests.bank import Teller
    from local.guests.command_line import ServeOptions
    from local.guests.load import Gate

LARGEST_AMOUNT = 100
_COMES_BACK_AFTER_S = 0.02


class Customer:
    """One client. Its methods are called by one thread alone."""

    def __init__(
        self,
        number: int,
        enter: Callable[[], Teller],
        gate: Gate,
        receipts: ReceiptsFile | None,
        *,
        seed: str,
    ) -> None:
        """Make a client; `enter` opens a connection, or raises BankClosedError."""
        self.last = 0  # number of its last acknowledged transfer
        self._number = number
        self._enter = enter
        self._gate = gate
        self._receipts = receipts
        self._dice = random.Random(f"{seed}/{number}")  # load, not secrets
        self._teller: Teller | None = None

    def transfer(self) -> None:
        """Make one transfer and keep its receipt; while the bank is closed, come back again and again.

        Raises OSError when the receipt cannot be kept.
        """
        checking, savings = self._dice.randrange(ACCOUNTS), self._dice.randrange(ACCOUNTS)
        amount = self._dice.randint(-LARGEST_AMOUNT, LARGEST_AMOUNT)
        before = self.last
        while self.last == before:
            with self._gate.passing():
                try:
                    self._transfer_once(checking, savings, amount)
                except BankClosedError:
                    self._leave()
            if self._teller is None:
                time.sleep(_COMES_BACK_AFTER_S)

    def _transfer_once(self, checking: int, savings: int, amount: int) -> None:
        if self._teller is None:
            self._teller = self._enter()
            # A transfer whose end was not heard of may have been committed or not.
            self.last = int(self._teller.rows(last_number(self._number))[0][0])
        self._teller.run(transfer(self._number, self.last + 1, checking, savings, amount))
        self.last += 1
        if self._receipts:
            self._receipts.write(self._number, self.last)

    def _leave(self) -> None:
        teller, self._teller = self._teller, None
        if teller:
            with contextlib.suppress(BankClosedError):
                teller.close()


def clients_of(
    options: ServeOptions,
    enter: Callable[[], Teller],
    gate: Gate,
    *,
    held: Callable[[], bool],
    on_failure: Callable[[OSError], None],
) -> Clients:
    """Make as many customers as wanted; what they count are the transfers acknowledged to them."""
    folder = options.folders.receipts
    receipts = ReceiptsFile(folder, options.clients, at_once=True) if folder else None
    customers = [
        Customer(number, enter, gate, receipts, seed=options.seed) for number in range(options.clients)
    ]
    return Clients(
        [customer.transfer for customer in customers],
        count=lambda: sum(customer.last for customer in customers),
        held=held,
        on_failure=on_failure,
    )
