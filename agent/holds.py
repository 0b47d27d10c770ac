"""What the handlers of a generation hold, as the journal knows it, so that whoever is alive can let it go.

    hold-<g>-<n>            a handler's note, written before it acts: who holds, and how to undo it
    hold-<g>-<n>.outcome    how it was let go; written once
    closed-<g>              nothing may be held any more: the release has begun

A holder writes its note and then looks for ``closed``; a release writes ``closed`` and then looks for notes:
so one of the two sees the other, whatever the order.
"""

import json
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from agent import files, orders, records
from agent.journal import Journal, generation_name
from agent.orders import HandlerSpec
from agent.records import Evidence, Warning_


class Note(NamedTuple):
    """One handler's hold: the handler's process (``owner``), the name of what it holds, how to undo it."""

    number: int
    spec: HandlerSpec
    owner: str
    name: str
    undo: Tuple[Tuple[str, str], ...] = ()


class Outcome(NamedTuple):
    """How one hold was let go, and what the application was seen to do then."""

    evidence: Evidence
    warnings: Tuple[Warning_, ...] = ()


_TYPES = dict(records.types_of(records), **records.types_of(orders))
_TYPES.update(Note=Note, Outcome=Outcome)


class HoldLog:
    """The holds of one generation of one saga."""

    def __init__(self, journal: Journal, saga: str, generation: int) -> None:
        self._journal = journal
        self._name = generation_name(saga, generation)

    def note(self, note: Note) -> None:
        """Write a handler's note, or write it anew."""
        self._write("hold-{}-{}".format(self._name, note.number), note)

    def notes(self) -> List[Note]:
        """Give the notes that there are, in the order of holding."""
        prefix = "hold-{}-".format(self._name)
        names = [n for n in os.listdir(self._journal.path) if n.startswith(prefix)]
        numbers = sorted(int(n[len(prefix) :]) for n in names if n[len(prefix) :].isdigit())
        found = (self._read(prefix + str(number)) for number in numbers)
        return [note for note in found if isinstance(note, Note)]

    def close(self) -> None:
        """Say that nothing may be held any more."""
        name = self._journal.file("closed-" + self._name)
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600))

    def closed(self) -> bool:
        """Say whether the release has begun."""
        return os.path.exists(self._journal.file("closed-" + self._name))

    def outcome(self, number: int) -> Optional[Outcome]:
        """Give how a hold was let go; None while it was not."""
        found = self._read("hold-{}-{}.outcome".format(self._name, number))
        return found if isinstance(found, Outcome) else None

    def settle(self, number: int, outcome: Outcome) -> None:
        """Write how a hold was let go."""
        self._write("hold-{}-{}.outcome".format(self._name, number), outcome)

    def once(self, number: int, lock: Callable[[str], Optional[int]]) -> Optional[int]:
        """Become the one who undoes a hold, for as long as the returned descriptor is open."""
        return lock(self._journal.file("hold-{}-{}.lock".format(self._name, number)))

    def _write(self, name: str, record: Any) -> None:
        path = self._journal.file(name)
        fresh = "{}.{}.new".format(path, os.getpid())
        with open(fresh, "w") as file:
            json.dump(records.to_json(record), file)
        files.replace(fresh, path)

    def _read(self, name: str) -> Any:
        try:
            with open(self._journal.file(name)) as file:
                return records.from_json(json.load(file), _TYPES)
        except FileNotFoundError:
            return None


def marks_of(saga: str, generation: int, number: int) -> Dict[str, str]:
    """Name a handler's processes in their environment; by these they are found again."""
    return {
        "STILLFRAME_SAGA": saga,
        "STILLFRAME_GENERATION": str(generation),
        "STILLFRAME_PHASE": "handler-{}".format(number),
    }
