"""Asking Azure which VMs a policy's rules select: at each run, page by page, and beforehand for a preview.

A run's selection is a chain of messages. Each reads pages for a few seconds, writes the VMs that they bring
into the run's index and passes on from where to go on. What cannot be read is noted and told with the run;
the VMs are started when all that can be read has been. Every message can be delivered again: the same pages
bring the same rows.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from shared.compute.errors import ComputeError
from shared.engine.grouping import Grouping
from shared.engine.ports import Clock, Compute
from shared.engine.queue_names import RUNS, RunMessage, RunTask
from shared.engine.run_settings import read_groups, read_settings
from shared.logs import About, about, logger
from shared.policy.concurrency import Order
from shared.policy.fields import DocumentError
from shared.policy.groups import group_of, together
from shared.policy.own_tags import USUAL_PRIORITY, priority_of
from shared.policy.selection import (
    BY_ID,
    EXCLUDE_TAG,
    Scope,
    Selection,
    VmSummary,
    rule_number,
    summary_of_id,
    unclear_tag,
)
from shared.saga.codec import decode, encode
from shared.saga.names import saga_id
from shared.storage.errors import RunNotFound
from shared.storage.ports import MessageQueues
from shared.storage.run_records import RunEntry, RunRecord, RunSelection, Unread
from shared.storage.runs import RunTable
from shared.storage.selections import SelectionTable
from shared.storage.turns import TurnTable

_log = logger("selection")

#: One message reads pages for no longer than this (ms), but for the last one's own time.
READ_FOR_MS = 15_000

#: A selection that has not gone on for this long lost its message: host.json hides one for less.
STALLED_MS = 900_000

#: So many resource groups are listed to see whether VMs that somebody names are among those selected.
MOST_GROUPS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Place:
    """From where to go on: the next ``page`` of the scope ``at``, or behind ``at`` when there is no page.

    ``excluded`` is how many VMs were left out before.
    """

    at: Scope | None = None
    page: str = ""
    excluded: int = 0

    def text(self) -> str:
        """Write it for a message."""
        return json.dumps(encode(self))

    def following(self, scopes: Sequence[Scope]) -> Scope | None:
        """Give the scope that is read next; None at the end. The scopes are in their order."""
        if self.at is None or self.page:
            return self.at or next(iter(scopes), None)
        return next((scope for scope in scopes if scope > self.at), None)


def read_place(text: str) -> Place:
    """Read what ``Place.text`` wrote; the beginning when there is none.

    Raises:
        UnreadableRecordError: it was written by nobody who could.
    """
    return decode(Place, json.loads(text)) if text else Place()


class Selecting:
    """Selects the VMs of runs."""

    def __init__(
        self,
        *,
        runs: RunTable,
        selections: SelectionTable,
        queues: MessageQueues,
        compute: Compute,
        clock: Clock,
        turns: TurnTable | None = None,
        grouping: Grouping | None = None,
    ) -> None:
        self._runs = runs
        self._selections = selections
        self._grouping = grouping
        self._turns = turns
        self._queues = queues
        self._compute = compute
        self._clock = clock

    async def go_on(self, message: RunMessage) -> None:
        """Read the next pages of a run's selection.

        Raises:
            ComputeError: Azure may answer when it is asked again.
        """
        run, selection, scopes = await self._open(message.run_id)
        if run is None or selection is None:
            return
        place, began = read_place(message.after), self._clock()
        scope = place.following(scopes)
        while scope is not None and not run.cancel_requested:
            place = await self._read(run, selection, scope, place)
            scope = place.following(scopes)
            if self._clock() - began >= READ_FOR_MS:
                break
        if scope is None or run.cancel_requested:
            await self._end(run, place)
        else:
            await self._pass_on(run, place)

    async def give_up(self, message: RunMessage, detail: str) -> None:
        """Note that a part of a run's selection failed again and again, and go on with the next."""
        run, _, scopes = await self._open(message.run_id)
        place = read_place(message.after)
        if run is None:
            return
        scope = place.following(scopes)
        if scope is None:
            await self._end(run, place)
            return
        await self._note(run, scope, "GivenUp", detail)
        await self._pass_on(run, Place(scope, excluded=place.excluded))

    async def mend(self, run: RunRecord) -> None:
        """Begin a selection again whose message was lost."""
        if run.selection is not None and self._clock() - run.selection.looked_at > STALLED_MS:
            with about(About(run.run_id)):
                _log.warning("its selection stands still, begun again")
            await self._pass_on(run, Place())

    async def require_selected(
        self, policy: str, selection: Selection, vms: Sequence[str]
    ) -> Mapping[str, VmSummary]:
        """See whether a policy selects VMs that somebody names; give what is known of them, by their ids.

        Raises:
            DocumentError: names the first that it does not.
            ComputeError: it cannot be seen.
        """
        named = {vm.lower() for vm in selection.listed()}
        known = {vm.lower(): summary_of_id(vm) for vm in vms}
        if not selection.is_a_list:
            known |= await self._look_up(vms)
        for index, vm in enumerate(vms):
            verdict = selection.judge(known[vm.lower()])
            if not verdict.selected or (selection.is_a_list and vm.lower() not in named):
                why = f": {verdict.rule}" if verdict.rule else ""
                raise DocumentError(f"vms[{index}]", f"is not a VM of the policy {policy}{why}")
        return known

    async def _look_up(self, vms: Sequence[str]) -> dict[str, VmSummary]:
        """List the groups of some VMs; one that is not there is known by its id alone."""
        found = {vm.lower(): summary_of_id(vm) for vm in vms}
        groups = {Scope(vm.subscription.lower(), vm.resource_group.lower()) for vm in found.values()}
        if len(groups) > MOST_GROUPS_NAMED:
            problem = f"expected VMs of at most {MOST_GROUPS_NAMED} resource groups: rules select these VMs"
            raise DocumentError("vms", problem)
        for scope in sorted(groups):
            page, more = "", True
            while more:
                listed = await self._compute.list_vms(scope, page)
                found |= {vm.id.lower(): vm for vm in listed.vms if vm.id.lower() in found}
                page, more = listed.following, bool(listed.following)
        return found

    async def _open(self, run_id: str) -> tuple[RunRecord | None, Selection | None, Sequence[Scope]]:
        """Read a run whose selection goes on; nothing when it does not."""
        try:
            run = await self._runs.get(run_id)
        except RunNotFound:
            return None, None, ()
        selection = read_settings(run).selection
        if not run.selecting or selection is None:
            return None, None, ()
        # The VMs named one by one are in the index, where exclusions may take them out again.
        named = [
            entry.vm_id async for entry in self._runs.entries(run_id) if entry.selected_by in ("", BY_ID)
        ]
        selection = replace(selection, vms=tuple(named))
        return run, selection, selection.scopes()

    async def _read(self, run: RunRecord, selection: Selection, scope: Scope, place: Place) -> Place:
        """Take a page into the index; give the place behind it."""
        try:
            page = await self._compute.list_vms(scope, place.page)
        except ComputeError as error:
            if error.passing:
                raise
            await self._note(run, scope, error.code, error.detail)
            return Place(scope, excluded=place.excluded)
        excluded = await self._take(run, selection, page.vms)
        return Place(scope, page.following, place.excluded + excluded)

    async def _take(self, run: RunRecord, selection: Selection, vms: Sequence[VmSummary]) -> int:
        """Write the selected ones into the index; give how many are left out by a rule."""
        entries, excluded, now = [], 0, self._clock()
        run_id, groups = run.run_id, read_groups(run)
        for vm in vms:
            verdict, saga = selection.judge(vm), saga_id(run_id, vm.id)
            unclear = unclear_tag(vm.by_tag) if selection.by_tag else ""
            if unclear:
                _log.warning("%s: %s says %r, not true or false: it stays in", vm.id, EXCLUDE_TAG, unclear)
            if verdict.selected:
                priority = priority_of(vm.tags) if selection.by_priority else 0
                entries.append(
                    RunEntry(
                        saga_id=saga,
                        vm_id=vm.id,
                        started_at=now,
                        selected_by=verdict.rule,
                        group=group_of(groups, vm),
                        priority=priority,
                    )
                )
            elif verdict.rule:
                excluded += 1
                await self._selections.drop_entry(run_id, saga)
        await self._selections.add_entries(run_id, entries)
        return excluded

    async def _note(self, run: RunRecord, scope: Scope, code: str, detail: str) -> None:
        with about(About(run.run_id)):
            _log.error("cannot list the VMs of %s: %s: %s", scope.text(), code, detail)
        part = hashlib.sha256(scope.text().encode()).hexdigest()[:20]
        await self._selections.add_unread(run.run_id, part, Unread(scope.text(), code, detail))

    async def _pass_on(self, run: RunRecord, place: Place) -> None:
        going_on = RunSelection(done=False, looked_at=self._clock(), excluded=place.excluded)
        await self._selections.note(run.run_id, going_on, run.vm_count)
        await self._queues.send(RUNS, RunMessage(RunTask.SELECT, run.run_id, place.text()).text())

    async def _end(self, run: RunRecord, place: Place) -> None:
        """Say that the selection is done, and have its VMs started; of a cancelled run, ended."""
        entries = [entry async for entry in self._runs.entries(run.run_id)]
        count = len(entries)
        await self._give_places(run, entries)
        settings = read_settings(run)
        if self._grouping is not None and settings.groups:
            await self._grouping.create(run.run_id, settings.groups, entries, settings.concurrency)
        # Sent first: it is sent again after a crash in between, and the other way round nobody would.
        task = RunTask.CANCEL if run.cancel_requested else RunTask.FAN_OUT
        await self._queues.send(RUNS, RunMessage(task, run.run_id).text())
        done = RunSelection(done=True, looked_at=self._clock(), excluded=place.excluded)
        await self._selections.note(run.run_id, done, count)
        record = await self._selections.with_unread(await self._runs.get(run.run_id))
        unread = record.selection.unread if record.selection else ()
        with about(About(run.run_id)):
            tell = _log.error if unread else _log.info if count else _log.warning
            tell("%d VMs selected, %d excluded, %d parts unread", count, place.excluded, len(unread))

    async def _give_places(self, run: RunRecord, entries: Sequence[RunEntry]) -> None:
        """Put the VMs of a run that takes them in turns into their order; again, it is the same order."""
        limits = read_settings(run).concurrency
        if self._turns is None or limits is None or not limits.vms_at_once or not entries:
            return
        ordered = sorted(entries, key=lambda one: _place(one, limits.order))
        ordered = together(ordered, lambda one: one.group)
        placed = [replace(entry, place=place) for place, entry in enumerate(ordered, 1)]
        await self._selections.add_entries(run.run_id, placed)
        await self._turns.create(run.run_id, placed, limits.vms_at_once)


def _place(entry: RunEntry, order: Order) -> tuple[int, str, str]:
    """Give what a VM's place among those of its run follows from; the id where all else is the same."""
    vm_id = entry.vm_id.lower()
    match order:
        case Order.LISTED:
            return (0, "", vm_id)
        case Order.NAME:
            return (0, vm_id.rpartition("/")[2], vm_id)
        case Order.RULES:
            return (rule_number(entry.selected_by), "", vm_id)
        case Order.PRIORITY:
            return (entry.priority or USUAL_PRIORITY, "", vm_id)
        case _:
            assert_never(order)
