"""Freezing and thawing a set of mounts, with a thread for each, so that none can stop the thaw of another.

Mounts are frozen one after the other, in their order. Each mount's thread freezes it, waits for the release
and thaws it. A freeze that blocks (its filesystem lies on one that is frozen already) holds up those after
it but no thaw: and when it comes through after the release, its own thread undoes it at once.
"""

import threading
from typing import Callable, List, Optional, Tuple

from agent.journal import FreezeLog
from agent.records import FILESYSTEM, Evidence, Hold, NotHeld
from agent.system import FreezeRefused, System, ThawFailed
from agent.waiting import Condition

#: Threads of the dead-man are locked in memory: their stacks are kept small (bytes).
STACK_BYTES = 256 * 1024

THAWED_BEFORE = "Somebody else had thawed it before."
STILL_FREEZING = "Its freeze has not come through yet; it is undone the moment it does."
STILL_THAWING = "It is not thawed yet."


class Mount:
    """One opened mount point, and what became of it."""

    def __init__(self, index: int, path: str, handle: int) -> None:
        self.index = index
        self.path = path
        self.handle = handle
        self.turn = threading.Event()
        self.frozen = False
        self.freezing = False
        self.refused: Optional[FreezeRefused] = None
        self.took_ms = 0
        self.frozen_at = 0
        self.evidence: Optional[Evidence] = None


class Freezer:
    """The mounts of one generation, from `open` to `close`.

    ``notify`` is called from the mounts' threads whenever something is known that was not before.
    ``monotonic`` gives ms; by it people are told how long each mount took and was held.
    """

    def __init__(
        self, system: System, log: FreezeLog, notify: Callable[[], None], monotonic: Callable[[], int]
    ) -> None:
        self._system = system
        self._log = log
        self._notify = notify
        self._monotonic = monotonic
        self._changed = Condition()
        self._released = threading.Event()
        self._mounts: List[Mount] = []

    def open(self, paths: Tuple[str, ...]) -> None:
        """Open every mount and start its thread; nothing is frozen yet.

        Raises:
            OSError: one cannot be opened (``filename`` says which); none is left open.
        """
        try:
            for index, path in enumerate(paths):
                self._mounts.append(Mount(index, path, self._system.open_mount(path)))
        except OSError:
            self.close()
            raise
        for mount in self._mounts:
            threading.Thread(target=self._live, args=(mount,), name=mount.path, daemon=True).start()

    def freeze(self) -> None:
        """Begin to freeze; ``outcome`` tells how it goes."""
        if self._mounts:
            self._mounts[0].turn.set()
        else:
            self._notify()

    def outcome(self) -> Optional[Tuple[Optional[FreezeRefused], Tuple[Hold, ...], Tuple[NotHeld, ...]]]:
        """Give (refusal, held, not held) when the freezing has ended, None while it goes on."""
        with self._changed:
            refusal = next((m.refused for m in self._mounts if _fatal(m)), None)
            if refusal is None and not all(m.frozen or m.refused for m in self._mounts):
                return None
            held = tuple(Hold(FILESYSTEM, m.path, took_ms=m.took_ms) for m in self._mounts if m.frozen)
            left = tuple(
                NotHeld(FILESYSTEM, m.path, m.refused.reason) for m in self._mounts if m.refused is not None
            )
            return refusal, held, left

    def release(self, patience_s: float) -> Tuple[Evidence, ...]:
        """Thaw everything that was frozen here; waits at most ``patience_s`` for the last."""
        with self._changed:
            self._released.set()
        for mount in self._mounts:
            mount.turn.set()
        with self._changed:
            self._changed.wait_for(lambda: not any(_pending(m) for m in self._mounts), patience_s)
            return tuple(e for e in map(_evidence, self._mounts) if e is not None)

    def close(self) -> None:
        """Close the mounts whose story is over; one that is blocked keeps its own."""
        for mount in self._mounts:
            if not _pending(mount):
                self._system.close_mount(mount.handle)
        self._mounts = []

    def _live(self, mount: Mount) -> None:
        mount.turn.wait()
        with self._changed:
            if self._released.is_set():
                return
            mount.freezing = True
        self._freeze(mount)
        if not mount.frozen:
            return
        self._released.wait()
        evidence = thaw(self._system, mount.path, mount.handle)
        evidence = evidence._replace(held_ms=self._monotonic() - mount.frozen_at)
        self._log.note(mount.index, FreezeLog.WHOLE if evidence.whole else FreezeLog.BROKEN)
        with self._changed:
            mount.evidence = evidence
            self._changed.notify_all()

    def _freeze(self, mount: Mount) -> None:
        self._log.note(mount.index, FreezeLog.BEGUN)
        refusal, begun = None, self._monotonic()
        try:
            self._system.freeze(mount.handle)
        except FreezeRefused as refused:
            refusal = FreezeRefused(refused.reason, "{}: {}".format(mount.path, refused.detail))
        mount.frozen_at = self._monotonic()
        mount.took_ms = mount.frozen_at - begun
        self._log.note(mount.index, FreezeLog.REFUSED if refusal else FreezeLog.FROZEN)
        with self._changed:
            mount.freezing = False
            mount.frozen = refusal is None
            mount.refused = refusal
            self._changed.notify_all()
        if not _fatal(mount) and mount.index + 1 < len(self._mounts):
            self._mounts[mount.index + 1].turn.set()
        self._notify()


def thaw(system: System, path: str, handle: int) -> Evidence:
    """Thaw one filesystem; the kernel's answer is the evidence."""
    try:
        whole = system.thaw(handle)
    except ThawFailed as error:
        return Evidence(FILESYSTEM, path, whole=False, released=False, detail=str(error))
    return Evidence(FILESYSTEM, path, whole=whole, detail="" if whole else THAWED_BEFORE)


def _fatal(mount: Mount) -> bool:
    """A filesystem that cannot freeze at all is told of and left; any other refusal ends the freezing."""
    return mount.refused is not None and mount.refused.reason != "not_supported"


def _pending(mount: Mount) -> bool:
    return mount.freezing or (mount.frozen and mount.evidence is None)


def _evidence(mount: Mount) -> Optional[Evidence]:
    if mount.evidence is not None or not _pending(mount):
        return mount.evidence
    detail = STILL_FREEZING if mount.freezing else STILL_THAWING
    return Evidence(FILESYSTEM, mount.path, whole=False, released=False, detail=detail)
