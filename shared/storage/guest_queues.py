"""The queues between app and guests, in an account of their own: a guest can reach nothing else of the app.

Each VM has a command queue, from which its agent may only receive; all share the ack queue, to which agents
may only add. Where the account has a key, the two rights are service SAS; where only a token opens it, they
are user delegation SAS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.storage.guest_names import ACK_QUEUE, command_queue
from shared.storage.queues import seconds
from shared.storage.sas import QueueSigner

__all__ = ["ACK_QUEUE", "ExpiringQueues", "GuestQueues", "GuestUrls", "command_queue"]

_PROCESS = "p"
_ADD = "a"


@dataclass(frozen=True, slots=True)
class GuestUrls:
    """What an agent may use: receive from ``command``, add to ``ack``. Signed ones are secrets."""

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
        self._seen: set[str] = set()

    async def send_command(self, vm_id: str, text: str, expires_at: int) -> bool:
        """Put a command into the VM's queue; it vanishes by itself at ``expires_at`` (ms since the epoch).

        False when it had expired already and was not sent. Raises ``MessageTooLarge``.
        """
        left_ms = expires_at - self._clock()
        if left_ms <= 0:
            return False
        await self._queues.put(command_queue(vm_id), text, delay_s=0, expires_in_s=seconds(left_ms))
        return True

    async def urls(self, vm_id: str, valid_ms: int, *, signed: bool = True) -> GuestUrls:
        """Make the URLs of a VM's agent, valid for ``valid_ms`` (at most 7 days under a token credential).

        Those that are not ``signed`` open nothing by themselves: the VM's managed identity has to.

        Both queues are created if they are not there yet: the rights that an agent gets do not let it do so.
        """
        command = command_queue(vm_id)
        for queue in {self._ack_queue, command} - self._seen:
            await self._queues.ensure(queue)
            self._seen.add(queue)
        if not signed:
            return GuestUrls(self._signer.plain_url(command), self._signer.plain_url(self._ack_queue))
        return GuestUrls(
            command=await self._signer.url(command, _PROCESS, valid_ms),
            ack=await self._signer.url(self._ack_queue, _ADD, valid_ms),
        )

    async def close(self) -> None:
        """Close the running loop's clients."""
        await self._queues.close()
        await self._signer.close()
