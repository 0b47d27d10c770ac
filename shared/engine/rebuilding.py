"""Rebuilding the catalogue from what Azure still tells, when its table was lost.

A record that is there is never overwritten. Where the saga is still known, its record is written as it was;
else from the tags, which tell everything but evidence, reasons and holds: such a record says that it is
``rebuilt``, and is held, because nobody knows whether it was.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.compute import tags
from shared.compute.kept import Kept
from shared.compute.names import is_restore_point, parse_restore_point_id
from shared.engine.cataloguing import Catalogue, copies_of, point_record
from shared.engine.ports import Clock, Compute
from shared.logs import logger
from shared.policy.documents import read_policy_name
from shared.policy.fields import DocumentError
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase, SagaState
from shared.storage.errors import PointChanged, PointNotFound, SagaNotFound, UnusableKey
from shared.storage.point_records import Hold, PointRecord
from shared.storage.points import PointTable, Scope, StoredPoint
from shared.storage.ports import ReloadableSagas

_log = logger("rebuilding")

#: Why a rebuilt record is held: retention takes none of them before a person, or the time, has let go.
HOLD_REASON = "rebuilt from tags: whether it was held before is not known"
_AT_ONCE = 8
_WORD = re.compile("[A-Za-z0-9_-]{1,100}")
_SHA256 = re.compile("[0-9a-f]{64}")


class Action(StrEnum):
    """What is done about what was found of a recovery point."""

    CREATE = "create"
    """Its record is written."""

    EXTEND = "extend"
    """Its record was rebuilt before, and gets what was found since."""

    KNOWN = "known"
    """Its record is there, and stays as it is."""

    SKIP = "skip"
    """Nothing is written, and it is said why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a recovery point in a page, and what is done; ``record`` is what would be written."""

    point_id: str
    action: Action
    why: str
    record: PointRecord | None = None


class Rebuilding:
    """Goes through a resource group, page by page."""

    def __init__(
        self,
        *,
        points: PointTable,
        sagas: ReloadableSagas,
        catalogue: Catalogue,
        compute: Compute,
        clock: Clock,
    ) -> None:
        self._points = points
        self._sagas = sagas
        self._catalogue = catalogue
        self._compute = compute
        self._clock = clock

    def now(self) -> int:
        """Give the time, ms since the epoch."""
        return self._clock()

    async def page(
        self, scope: Scope, *, apply: bool, hold_until: int | None = None, marker: str = ""
    ) -> tuple[list[Found], str]:
        """Look at the next page of a resource group; give what was found, and where to go on.

        Nothing is written unless ``apply``. Rebuilt records are held until ``hold_until`` (ms), else until
        they are released.
        Raises `ComputeError`: Azure could not be asked.
        """
        page, following = await self._compute.list_kept(scope.subscription_id, scope.resource_group, marker)
        by_saga: dict[str, list[Kept]] = {}
        for kept in page:
            if kept.saga_id:
                by_saga.setdefault(kept.saga_id, []).append(kept)
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(saga_id: str, there: list[Kept]) -> Found:
            async with places:
                return await self._one(saga_id, there, apply=apply, hold_until=hold_until)

        found = await asyncio.gather(*(one(saga_id, there) for saga_id, there in by_saga.items()))
        if apply and found:
            await self._points.note_scopes([scope], again=True)  # the rows may be what was lost
        return list(found), following

    async def _one(self, saga_id: str, there: list[Kept], *, apply: bool, hold_until: int | None) -> Found:
        if not _WORD.fullmatch(saga_id):
            return Found(saga_id, Action.SKIP, "its tag names a saga that there cannot be")
        try:
            stored: StoredPoint | None = await self._points.get(saga_id)
        except PointNotFound:
            stored = None
        if stored is not None and not stored.record.rebuilt:
            return Found(saga_id, Action.KNOWN, "its record is there")
        state = await self._saga(saga_id)
        if stored is None and state is not None:
            return await self._of_saga(state, there, apply=apply)
        try:
            record = _from_tags(saga_id, there, self._clock(), hold_until)
        except _Unusable as error:
            return Found(saga_id, Action.SKIP, str(error))
        if stored is None:
            if apply:
                await self._points.record(record, None)
                _log.info("stillframe point: vm=%s point=%s: rebuilt from tags", record.vm_id, saga_id)
            return Found(saga_id, Action.CREATE, "from its tags", record)
        return await self._extend(stored, record, apply=apply)

    async def _of_saga(self, state: SagaState, there: list[Kept], *, apply: bool) -> Found:
        """Write the record of a saga that is still known, as its end did; or say why there is none."""
        saga_id = state.spec.saga_id
        if state.phase is not Phase.DONE:
            return Found(saga_id, Action.SKIP, "its saga goes on")
        mine = {copy.snapshot_id.lower() for copy in state.recovery_point}
        if not mine & {kept.resource_id.lower() for kept in there}:
            copies = {each.lower() for each in copies_of(state)}
            is_copy = bool(mine) and any(kept.resource_id.lower() in copies for kept in there)
            if not is_copy:
                return Found(saga_id, Action.SKIP, f"its saga ended as {state.outcome} without it")
        if apply:
            await self._catalogue.saga_ended(state)
        return Found(saga_id, Action.CREATE, "its saga is known: with its evidence", point_record(state))

    async def _extend(self, stored: StoredPoint, found: PointRecord, *, apply: bool) -> Found:
        """Add to a record that was rebuilt what lay on another page, or in another group."""
        before = stored.record
        if (before.vm_id.lower(), before.generation) != (found.vm_id.lower(), found.generation):
            why = f"its record is of generation {before.generation} of {before.vm_id}"
            return Found(before.point_id, Action.SKIP, why)
        resources, copies = _joined(before.resources, found.resources), _joined(before.copies, found.copies)
        if (resources, copies) == (before.resources, before.copies):
            return Found(before.point_id, Action.KNOWN, "its record was rebuilt before")
        there = {_slot_of(each) for each in resources}
        wanted = (*before.lacking, *found.lacking)
        lacking = tuple(slot for slot in dict.fromkeys(wanted) if slot not in there)
        record = replace(before, resources=resources, copies=copies, lacking=lacking)
        if apply:
            try:
                await self._points.change(stored, record)
            except PointChanged:
                return Found(before.point_id, Action.SKIP, "somebody changed its record just now: ask again")
        return Found(before.point_id, Action.EXTEND, "more of it was found", record)

    async def _saga(self, saga_id: str) -> SagaState | None:
        try:
            return (await self._sagas.reload(saga_id)).state
        except (SagaNotFound, UnusableKey):
            return None


class _Unusable(Exception):
    """No record can be made of what was found; the text says why."""


def _from_tags(saga_id: str, there: Sequence[Kept], now: int, hold_until: int | None) -> PointRecord:
    points = [kept for kept in there if is_restore_point(kept.resource_id)]
    mine = _kept_ones(points) if points else _kept_ones(there)
    told, first = _told(mine), mine[0]
    vm_id = first.vm_id or tags.vm_of(told.get(tags.VM, ""))
    if not vm_id:
        raise _Unusable("no tag says whose disks they are (stillframe-vm)")
    words = tags.words_of(told.get(tags.RESTORE, ""))
    resources = tuple(sorted(kept.resource_id for kept in mine if not kept.is_copy))
    slots = {_slot_of(each) for each in resources}
    grade = told.get(tags.GRADE, "")
    window = told.get(tags.FREEZE_WINDOW_MS, "")
    times = [kept.created for kept in mine if kept.created is not None]
    created = min(times, default=now)
    return PointRecord(
        point_id=saga_id,
        vm_id=vm_id,
        policy=_policy(told.get(tags.POLICY, "")),
        run_id=_word(told.get(tags.RUN, "")),
        generation=_generation(first),
        outcome=Outcome.SUCCEEDED if told.get(tags.OUTCOME) == Outcome.SUCCEEDED else Outcome.DEGRADED,
        grade=Grade(grade) if grade in list(Grade) else Grade.CRASH,
        created=created,
        recorded=created,
        resources=resources,
        copies=tuple(sorted(kept.resource_id for kept in mine if kept.is_copy)),
        freeze_window_ms=int(window) if window.isdecimal() else None,
        evidence_sha256=_digest(told.get(tags.EVIDENCE, "")),
        warnings=_whole(told.get(tags.WARNINGS, "")),
        reasons=_reasons(told),
        hold=Hold(reason=HOLD_REASON, since=now, until=hold_until),
        rebuilt=True,
        lacking=() if points else tuple(s for s in tags.slots_in(words.get("slots", "")) if s not in slots),
        why="rebuilt from tags",
        changed=now,
    )


def _kept_ones(there: Sequence[Kept]) -> list[Kept]:
    """Give what the saga kept: what was graded, of its last generation; a restore point has no tags."""
    graded = [kept for kept in there if is_restore_point(kept.resource_id) or kept.tags.get(tags.GRADE)]
    if not graded:
        raise _Unusable("it was never graded: its saga kept none of it")
    last = max(_generation(kept) for kept in graded)
    return [kept for kept in graded if _generation(kept) == last]


def _told(mine: Sequence[Kept]) -> dict[str, str]:
    """Give what is said of a recovery point; of a restore point its collection, while it is the newest."""
    first = mine[0]
    if not is_restore_point(first.resource_id):
        return dict(first.tags)
    said = first.collection_tags
    newest = (said.get(tags.SAGA), said.get(tags.GENERATION)) == (first.saga_id, str(_generation(first)))
    return dict(said) if newest else {}


def _reasons(told: dict[str, str]) -> tuple[str, ...]:
    lost = "the record was rebuilt from tags: its evidence and the reasons for its grade are lost"
    if told.get(tags.GRADE) in list(Grade):
        return (lost,)
    return (lost, "its grade, its policy and its run are not known: crash is all that may be said")


def _generation(kept: Kept) -> int:
    if is_restore_point(kept.resource_id):
        return int(parse_restore_point_id(kept.resource_id).name.rpartition("-g")[2])
    return _whole(kept.tags.get(tags.GENERATION, ""))


def _policy(text: str) -> str:
    try:
        return read_policy_name(text) if text else ""
    except DocumentError:
        raise _Unusable("its tag names a policy that there cannot be") from None


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else ""


def _digest(text: str) -> str:
    return text if _SHA256.fullmatch(text) else ""


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _slot_of(resource_id: str) -> str:
    """Give the place of a snapshot's disk, with which its name ends (`shared.saga.names`)."""
    return resource_id.rpartition("-")[2]


def _joined(before: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    known = {each.lower() for each in before}
    return (*before, *(each for each in found if each.lower() not in known))
