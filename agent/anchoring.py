"""The anchor of a generation as the journal knows it, so that whoever is alive can delete it."""

import json
import os
from typing import Optional, Tuple

from agent import anchors, files, records
from agent.anchors import Anchored, AnchorRefused, known
from agent.journal import Journal, generation_name
from agent.records import Evidence


class AnchorNote:
    """The one file ``anchor-<g>``: provider and identity, written before there is anything to delete."""

    def __init__(self, journal: Journal, saga: str, generation: int) -> None:
        self._path = journal.file("anchor-" + generation_name(saga, generation))

    def write(self, provider: str, identity: str) -> None:
        """Write it, or write it anew."""
        fresh = "{}.{}.new".format(self._path, os.getpid())
        with open(fresh, "w") as file:
            json.dump(records.to_json(Anchored(provider, identity, ())), file)
        files.replace(fresh, self._path)

    def read(self) -> Optional[Anchored]:
        """Give provider and identity; None if no anchor was begun, or it is deleted."""
        try:
            with open(self._path) as file:
                found = records.from_json(json.load(file), {"Anchored": Anchored})
        except FileNotFoundError:
            return None
        assert isinstance(found, Anchored)
        return found

    def forget(self) -> None:
        """Remove it: there is nothing to delete any more."""
        files.remove(self._path)


def drop(note: AnchorNote, anchored: Anchored) -> Tuple[Evidence, ...]:
    """Say whether the anchor was whole until now, and delete it."""
    kind = anchors.KINDS[anchored.provider]
    whole, released, detail = False, True, ""
    if note.read() is None:
        detail = "It was deleted before."
    else:
        anchor = known.make(anchored.provider)
        whole, detail = anchor.whole(anchored)
        try:
            anchor.delete(anchored.identity)
            note.forget()
        except AnchorRefused as refusal:
            released, detail = False, "It could not be deleted: {}".format(refusal.detail)
    return tuple(
        Evidence(kind, name, whole=whole, released=released, detail=detail) for name in anchored.names
    )


def delete_left(note: AnchorNote) -> bool:
    """Delete an anchor that somebody else made; False if something of it is still there."""
    left = note.read()
    if left is None:
        return True
    try:
        known.make(left.provider).delete(left.identity)
    except AnchorRefused:
        return False
    note.forget()
    return True
