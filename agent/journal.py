"""What an agent leaves for the next one, and for its dead-man: a folder on a tmpfs.

The folder must lie on a filesystem that is never frozen; on Windows that is any. Nothing is synced: what a
reboot takes away, a reboot has also released. Files are replaced as a whole, so that a reader never sees half
of one.

    agent.lock, dead-man.lock   held for as long as the process lives
    state.json                  the session and its acks that no queue has confirmed yet
    freezes                     what happened to each mount of the generation under way, by the dead-man
    released.json               what the dead-man's release of that generation showed
    begun-<g>, post-<g>.*       the hooks of a generation (hooks.py)
    script-<g>-*                its scripts, ready to be run (staging.py)
    hold-<g>-<n>*, closed-<g>   what handlers hold (holds.py), anchor-<g> the anchor (anchoring.py)
    inbox/                      bootstraps that other starts of the agent handed over
"""

import hashlib
import json
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from agent import files, orders, private, records, state
from agent.records import Answer, Evidence, UnreadableRecord, types_of
from agent.state import State

AGENT_LOCK, DEAD_MAN_LOCK = "agent.lock", "dead-man.lock"


class UnsafeStateDir(Exception):
    """The state's folder could be changed by others than its owner, so nothing in it can be believed."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__("{}: {}".format(path, detail))
        self.path = path
        self.detail = detail


class Saved(NamedTuple):
    """What ``state.json`` holds: the session and the acks that are still to be sent."""

    boot_id: str
    state: State
    unsent: Tuple[Answer, ...]


class Left(NamedTuple):
    """What the dead-man's release of a generation showed, and who ordered it."""

    saga: str
    generation: int
    released_by: str
    evidence: Tuple[Evidence, ...]


_TYPES = dict(types_of(orders), **types_of(state))
_TYPES.update(types_of(records), Saved=Saved, Left=Left)


class Journal:
    """The folder of one agent's state.

    Raises:
        UnsafeStateDir: the folder is not the agent's own.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)
        wrong = private.folder(path)
        if wrong:
            raise UnsafeStateDir(path, wrong)
        self.path = path

    def file(self, name: str) -> str:
        """Give the path of one of the state's files."""
        return os.path.join(self.path, name)

    def save(self, saved: Saved) -> None:
        """Replace ``state.json``."""
        self._replace("state.json", records.to_json(saved))

    def load(self, boot_id: str) -> Optional[Saved]:
        """Read ``state.json``; None if there is none, or one of another boot or another version."""
        saved = self._read("state.json")
        return saved if isinstance(saved, Saved) and saved.boot_id == boot_id else None

    def count(self, counters: Dict[str, int]) -> None:
        """Publish how many messages were refused, by reason, in ``counters.json``."""
        self._replace("counters.json", counters)

    def save_left(self, left: Left) -> None:
        """Replace ``released.json``."""
        self._replace("released.json", records.to_json(left))

    def load_left(self, saga: str, generation: int) -> Optional[Left]:
        """Read ``released.json`` if it is of this generation."""
        left = self._read("released.json")
        fits = isinstance(left, Left) and (left.saga, left.generation) == (saga, generation)
        return left if fits else None

    def forget(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            os.unlink(self.file(name))
        except FileNotFoundError:
            return

    def hand_over(self, text: str) -> str:
        """Leave a bootstrap for the running agent; returns its path, which that agent removes."""
        os.makedirs(self.file("inbox"), mode=0o700, exist_ok=True)
        name = os.path.join("inbox", "{}.json".format(os.getpid()))
        self._write(name, text)
        return self.file(name)

    def handed_over(self) -> Iterator[str]:
        """Give, and remove, the bootstraps that were left."""
        try:
            names = sorted(os.listdir(self.file("inbox")))
        except FileNotFoundError:
            return
        for name in names:
            if not name.endswith(".json"):
                continue
            path = self.file(os.path.join("inbox", name))
            with open(path) as file:
                text = file.read()
            os.unlink(path)
            yield text

    def _read(self, name: str) -> Any:
        try:
            with open(self.file(name)) as file:
                return records.from_json(json.load(file), _TYPES)
        except (FileNotFoundError, ValueError, UnreadableRecord):
            return None

    def _replace(self, name: str, document: Any) -> None:
        self._write(name, json.dumps(document))

    def _write(self, name: str, text: str) -> None:
        fresh = self.file(name + ".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        files.replace(fresh, self.file(name))


def name_of(saga: str) -> str:
    """Give what the names of all files of a saga have in common."""
    return hashlib.sha256(saga.encode("utf-8")).hexdigest()[:16]


def generation_name(saga: str, generation: int) -> str:
    """Give what the names of all files of a generation have in common."""
    return "{}-{}".format(name_of(saga), generation)


class FreezeLog:
    """What happened to each mount of a generation, written before and after each ioctl.

    Whoever survives learns from it what may still be frozen: a mount whose freeze was begun and neither
    refused nor undone. Each line is one write(2) to a file that is appended to.
    """

    BEGUN, REFUSED, FROZEN, WHOLE, BROKEN = "begun", "refused", "frozen", "whole", "broken"

    def __init__(self, journal: Journal) -> None:
        self._path = journal.file("freezes")
        self._handle: Optional[int] = None

    def start(self, saga: str, generation: int, paths: Tuple[str, ...]) -> None:
        """Begin the log of a generation; the one before is gone."""
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | files.BINARY
        self._handle = os.open(self._path, flags, 0o600)
        self._line({"saga": saga, "generation": generation, "mounts": list(paths)})

    def note(self, index: int, what: str) -> None:
        """Write what happened to mount number ``index``."""
        self._line({"mount": index, "what": what})

    def close(self) -> None:
        """Close the file, which stays."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def read(self, saga: str, generation: int) -> List[Tuple[str, str]]:
        """Give (mount point, last word) of each mount whose freeze was begun in this generation."""
        try:
            with open(self._path) as file:
                lines = [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        if not lines or (lines[0]["saga"], lines[0]["generation"]) != (saga, generation):
            return []
        words = {line["mount"]: line["what"] for line in lines[1:]}
        return [(path, words[i]) for i, path in enumerate(lines[0]["mounts"]) if i in words]

    def _line(self, document: Dict[str, Any]) -> None:
        assert self._handle is not None
        os.write(self._handle, (json.dumps(document) + "\n").encode("ascii"))
