"""Thawing without the dead-man: by the agent when that was lost, or by the next start when both died."""

import threading
import time
from typing import Callable, Dict, List, Mapping, Tuple

from agent.freezer import STILL_THAWING, THAWED_BEFORE, thaw
from agent.journal import FreezeLog
from agent.records import FILESYSTEM, Evidence
from agent.system import System
from agent.waiting import Flag

_PAUSE_S = 0.02


def thaw_left(
    system: System,
    left: List[Tuple[str, str]],
    opened: Mapping[str, int],
    gone: Callable[[], bool],
    patience_s: float,
) -> Tuple[Evidence, ...]:
    """Thaw what the freeze log ``left`` behind, with a thread for each mount.

    Thawed is only what was frozen here: never a mount whose freeze was refused. A freeze that was begun and
    has no outcome may still come through in the dying dead-man, so it is undone until that is ``gone``.
    ``opened`` has the mounts that are open already. Returns after ``patience_s`` at the latest; a thread
    that is not done by then goes on.
    """
    evidence: Dict[str, Evidence] = {}
    ends = []
    for path, word in left:
        if word in (FreezeLog.WHOLE, FreezeLog.BROKEN):
            whole = word == FreezeLog.WHOLE
            evidence[path] = Evidence(FILESYSTEM, path, whole=whole, detail="" if whole else THAWED_BEFORE)
        elif word != FreezeLog.REFUSED:
            evidence[path] = Evidence(FILESYSTEM, path, whole=False, released=False, detail=STILL_THAWING)
            settled = gone if word == FreezeLog.BEGUN else _at_once
            end = Flag()
            ends.append(end)
            words = (system, path, opened, settled, evidence, end)
            threading.Thread(target=_work, args=words, name=path, daemon=True).start()
    deadline = time.monotonic() + patience_s
    for end in ends:
        end.wait(max(0.0, deadline - time.monotonic()))
    return tuple(evidence[path] for path, _ in left if path in evidence)


def _work(
    system: System,
    path: str,
    opened: Mapping[str, int],
    settled: Callable[[], bool],
    evidence: Dict[str, Evidence],
    end: Flag,
) -> None:
    try:
        _thaw_one(system, path, opened, settled, evidence)
    finally:
        end.set()


def _thaw_one(
    system: System,
    path: str,
    opened: Mapping[str, int],
    settled: Callable[[], bool],
    evidence: Dict[str, Evidence],
) -> None:
    try:
        handle = opened[path] if path in opened else system.open_mount(path)
    except OSError as error:
        evidence[path] = Evidence(FILESYSTEM, path, whole=False, released=False, detail=str(error))
        return
    while True:
        over = settled()  # asked before the thaw: nothing can be frozen after this one
        found = thaw(system, path, handle)
        if found.whole or over:
            break
        time.sleep(_PAUSE_S)
    if path not in opened:
        system.close_mount(handle)
    evidence[path] = found


def _at_once() -> bool:
    return True
