"""The mailbox: items in order, woken by threads and by signals."""

import os
import signal
import threading

from agent.mailbox import Mailbox


def test_items_come_in_their_order_and_once() -> None:
    mailbox = Mailbox()
    for number in range(100_000):  # more than a pipe has room for
        mailbox.put(number)

    taken = mailbox.take(None)
    while len(taken) < 100_000:
        taken += mailbox.take(None)

    assert taken == list(range(100_000))
    assert mailbox.take(0.0) == []


def test_a_reader_is_woken_by_another_thread() -> None:
    mailbox = Mailbox()
    threading.Timer(0.05, mailbox.put, ["news"]).start()

    assert mailbox.take(60.0) == ["news"]


def test_a_reader_is_woken_by_a_signal_handler() -> None:
    mailbox = Mailbox()
    before = signal.signal(signal.SIGUSR1, lambda *_: mailbox.put("signal"))
    try:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        assert mailbox.take(60.0) == ["signal"]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_patience_ends() -> None:
    assert Mailbox().take(0.01) == []
