"""What cleaning a page of a room comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Done:
    """A page was cleaned. ``after`` is the place to go on behind; empty at the end of the room."""

    after: str = ""
    removed: Mapping[str, int] = field(default_factory=dict)
