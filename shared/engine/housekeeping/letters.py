"""The room of notices that were given up. Health shows them from the first day; they go with their runs."""

import json
from typing import Any

from shared.engine.housekeeping.ports import Letters
from shared.engine.housekeeping.rooms import Done
from shared.engine.queue_names import NOTICES_DEAD
from shared.logs import logger

_log = logger("housekeeping")

LETTERS = 32
#: A letter that stays can be read again by others after so long (s).
_HIDDEN_S = 30


class DeadLetters:
    """Notices that were given up before the cutoff."""

    name = "dead_letters"

    def __init__(self, queues: Letters) -> None:
        self._queues = queues

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Remove the old ones among the oldest; the first page without any is the last.

        What does not say when it was given up was put there by somebody else, and stays.
        """
        del after, now
        removed = 0
        for letter in await self._queues.oldest(NOTICES_DEAD, LETTERS, _HIDDEN_S):
            at = _given_up_at(letter.text)
            if at is not None and at < cutoff:
                await self._queues.cancel(NOTICES_DEAD, letter.receipt)
                removed += 1
        return Done("more" if removed else "", {"dead_letters": removed})


def _given_up_at(text: str) -> int | None:
    try:
        members: Any = json.loads(text)
        at = members["given_up"]["at"]
    except (ValueError, RecursionError, TypeError, LookupError):
        return None
    return at if type(at) is int else None
