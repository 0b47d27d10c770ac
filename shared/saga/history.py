"""What a saga went through: one entry per transition, never changed after it was written."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One transition. ``at`` is ms since the epoch.

    ``event`` and ``effects`` are the names of their types, ``detail`` is the JSON of the event.
    """

    at: int
    event: str
    from_phase: str
    to_phase: str
    generation: int
    effects: tuple[str, ...]
    detail: dict[str, Any]
