"""The agent's line to the app: its two queues, opened as its bootstrap says."""

from typing import Callable, NamedTuple, Tuple

from agent import config
from agent.config import Bootstrap
from agent.courier import TIMEOUT_S, Collector, Sender
from agent.identity import ManagedIdentity
from agent.listing import Message
from agent.queues import BY_URL, Credential, Queue


class Ends(NamedTuple):
    """The agent's end of the line; all may be called from other threads.

    ``interval_s`` says how long to pause between two looks, ``deliver`` takes a message, ``confirmed`` the
    name of an ack that is in its queue, ``report`` a trouble in words.
    """

    interval_s: Callable[[], float]
    deliver: Callable[[Message], None]
    confirmed: Callable[[str], None]
    report: Callable[[str], None]


def connect(
    bootstrap: Bootstrap, ends: Ends, imds: str, monotonic: Callable[[], int]
) -> Tuple[Collector, Sender]:
    """Make what carries messages; nothing is asked yet. ``monotonic`` gives ms.

    Raises:
        InsecureUrl: a queue is neither https nor on this very machine.
    """
    credential = credential_of(bootstrap, imds, monotonic)
    commands = Queue(bootstrap.command_queue, TIMEOUT_S, credential)
    acks = Queue(bootstrap.ack_queue, TIMEOUT_S, credential)
    collector = Collector(commands, ends.interval_s, ends.deliver, ends.report)
    return collector, Sender(acks, ends.confirmed, ends.report)


def credential_of(bootstrap: Bootstrap, imds: str, monotonic: Callable[[], int]) -> Credential:
    """Say what opens the queues besides their URLs."""
    if bootstrap.credential == config.MANAGED_IDENTITY:
        return ManagedIdentity(imds, bootstrap.client_id, monotonic).credential
    return BY_URL
