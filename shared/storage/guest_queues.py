"""The queues between app and guests, in an account of their own: a guest can reach nothing else of the app.

Each VM has a command queue, from which its agent may only receive; all share the ack queue, to which agents
may only add. Where the account has a key, the two rights are service SAS; where only a token opens it, they
are user delegation SAS.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.storage.clients import TransportFactory
from shared.storage.connection import Connection
from shared.storage.queues import Queues, seconds
from shared.storage.sas import QueueSigner

ACK_QUEUE = "acks"

_PROCESS = "p"
_ADD = "a"


@dataclass(frozen=True, slots=True)
class GuestUrls:
    """What an agent may use: receive from ``command``, add to ``ack``. Both are secrets."""

    command: str
    ack: str


class ExpiringQueues(Protocol):
    """What guest queues ask of queues: see ``queues.Queues``, and ``memory.MemoryQueues``."""

    async def ensure(self, *queues: str) -> None:
        """Create what is missing."""

    async def put(self, queue: str, text: str, *, delay_s: int, expires_in_s: int) -> str:
        """Put a message in."""

    async def close(self) -> None:
        """Let go of connections."""


class GuestQueues:
    """The guest-facing queues. ``clock`` gives ms since the epoch."""

    def __init__(
        self,
        queues: ExpiringQueues,
        signer: QueueSigner,
        clock: Callable[[], int],
        *,
        ack_queue: str = ACK_QUEUE,
    ) -> None:
        self._queues = queues
        self._signer = signer
        self._clock = clock
        self._ack_queue = ack_queue

    async def ensure(self) -> None:
        """Create the ack queue if it is not there yet."""
        await self._queues.ensure(self._ack_queue)

    async def send_command(self, vm_id: str, text: str, expires_at: int) -> bool:
        """Put a command into the VM's queue; it vanishes by itself at ``expires_at`` (ms since the epoch).

        False when it had expired already and was not sent. Raises ``MessageTooLarge``.
        """
        left_ms = expires_at - self._clock()
        if left_ms <= 0:
            return False
        await self._queues.put(command_queue(vm_id), text, delay_s=0, expires_in_s=seconds(left_ms))
        return True

    async def urls(self, vm_id: str, valid_ms: int) -> GuestUrls:
        """Make the URLs of a VM's agent, valid for ``valid_ms`` (at most 7 days under a token credential).

        The queues need not exist yet; until the first command the command queue answers 404.
        """
        return GuestUrls(
            command=await self._signer.url(command_queue(vm_id), _PROCESS, valid_ms),
            ack=await self._signer.url(self._ack_queue, _ADD, valid_ms),
        )

    async def close(self) -> None:
        """Close the running loop's clients."""
        await self._queues.close()
        await self._signer.close()


def open_guest_queues(
    connection: Connection,
    clock: Callable[[], int],
    *,
    ack_queue: str = ACK_QUEUE,
    transport: TransportFactory | None = None,
) -> GuestQueues:
    """The guest queues of a storage connection."""
    queues = Queues(connection, transport=transport)
    return GuestQueues(
        queues, QueueSigner(connection, clock, transport=transport), clock, ack_queue=ack_queue
    )


def command_queue(vm_id: str) -> str:
    """The name of a VM's command queue: ARM ids vary in case, and have characters that queue names forbid."""
    return "cmd-" + hashlib.sha256(vm_id.lower().encode()).hexdigest()[:40]
