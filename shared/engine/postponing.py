"""Putting off messages about what a newer version of the app wrote, until that version is back.

After an app was rolled back there may be messages and sagas of the newer one. They are neither guessed at nor
given up as poison: the message goes back into its queue, hidden for a while, and what it is about stays as it
is. Guests need nobody for being let go: that is the dead-man's.
"""

from shared.logs import logger
from shared.storage.errors import NewerMessage, UnknownSchema, UnreadableSaga
from shared.storage.ports import MessageQueues

_log = logger("versions")

#: How long a message is put off each time (ms).
PUT_OFF_MS = 300_000

#: What is said of something that this version of the app does not read, and a newer one may.
NOT_OF_THIS_VERSION = (NewerMessage, UnknownSchema, UnreadableSaga)


class Postponing:
    """Puts messages off. Those of guests lie in a storage account of their own."""

    def __init__(self, queues: MessageQueues, guest_queues: MessageQueues) -> None:
        self._queues = queues
        self._guest_queues = guest_queues

    async def put_off(self, queue: str, text: str, why: Exception, *, of_guests: bool = False) -> None:
        """Put a message back into its queue, hidden for a while."""
        queues = self._guest_queues if of_guests else self._queues
        await queues.send(queue, text, delay_ms=PUT_OFF_MS)
        _log.warning("stillframe put off: a message of %s, for %d s: %s", queue, PUT_OFF_MS // 1000, why)
