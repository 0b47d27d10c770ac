"""What a policy would do, asked beforehand: which VMs it selects and why, and when its schedules come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.compute.errors import ComputeError
from shared.engine import times
from shared.engine.grouping import too_many
from shared.engine.ports import Clock, Compute
from shared.engine.views import moment
from shared.policy.documents import Policy
from shared.policy.group_settings import rules_of_members
from shared.policy.groups import Group, group_of
from shared.policy.layers import for_vm
from shared.policy.own_tags import PRIORITY, Settled, settle
from shared.policy.schedules import Schedule
from shared.policy.selection import Scope, Selection, VmSummary, summary_of_id
from shared.storage.policies import DueSchedule

#: A preview asks Azure for no longer than this (ms), and says when it did not come to the end.
PREVIEW_FOR_MS = 60_000

NEXT_TIMES = 5


@dataclass(slots=True)
class _Found:
    """What was seen so far: verdicts by id, and what could not be read."""

    selected: dict[str, tuple[VmSummary, str]] = field(default_factory=dict)
    excluded: dict[str, tuple[VmSummary, str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    unread: list[dict[str, str]] = field(default_factory=list)
    complete: bool = True


class Previewing:
    """Shows what policies would do. Nothing is changed."""

    def __init__(self, compute: Compute, clock: Clock) -> None:
        self._compute = compute
        self._clock = clock

    async def preview(self, policy: Policy, limit: int) -> dict[str, Any]:
        """Show the first ``limit`` VMs that are selected and those that are excluded, by their ids.

        Raises:
            DocumentError: a schedule never comes.
        """
        schedules = [self._schedule(each) for each in policy.schedules]
        found = await self._look(policy.selection, named=bool(policy.own_tags))
        return {
            "complete": found.complete and not found.unread,
            "selected_count": len(found.selected),
            "excluded_count": len(found.excluded),
            "selected": [
                _vm_view(vm, rule)
                | {"found": vm.id.lower() in found.seen or None, "group": group_of(policy.groups, vm) or None}
                | _tags_view(policy, settled_of(policy, vm))
                for vm, rule in _first(found.selected, limit)
            ],
            "excluded": [_vm_view(vm, rule) for vm, rule in _first(found.excluded, limit)],
            "groups": [_group_view(group, policy, found, limit) for group in policy.groups],
            "unread": found.unread,
            "schedules": schedules,
        }

    async def _look(self, selection: Selection, *, named: bool) -> _Found:
        """Look at all that rules need, and with ``named`` at the tags of VMs that are named one by one."""
        found = _Found()
        for vm in selection.vms:
            _judge(found, selection, summary_of_id(vm))
        found.seen.clear()
        began = self._clock()
        for scope in selection.scopes(named=named):
            if self._clock() - began > PREVIEW_FOR_MS:
                found.complete = False
                break
            await self._list(found, selection, scope, began)
        return found

    async def _list(self, found: _Found, selection: Selection, scope: Scope, began: int) -> None:
        page, more = "", True
        while more:
            try:
                listed = await self._compute.list_vms(scope, page)
            except ComputeError as error:
                found.unread.append({"scope": scope.text(), "code": error.code, "why": error.detail})
                return
            for vm in listed.vms:
                _judge(found, selection, vm)
            page, more = listed.following, bool(listed.following)
            if more and self._clock() - began > PREVIEW_FOR_MS:
                found.complete = False
                return

    def _schedule(self, schedule: Schedule) -> dict[str, Any]:
        coming = times.next_times(schedule, self._clock(), NEXT_TIMES)
        changed = sorted({name for layer in schedule.layers for name in layer.changes.settings})
        return {
            "name": schedule.name,
            "paused": schedule.paused,
            "guest_processing_changes": changed,
            "next_times": [moment(at) for at in coming],
            "in_blackout": [moment(at) for at in coming if times.blackout_at(schedule, at)],
        }


def _group_view(group: Group, policy: Policy, found: _Found, limit: int) -> dict[str, Any]:
    """Show the first ``limit`` VMs of a group, and why they could share no instant, where that is known."""
    members = [
        vm for _, (vm, _) in sorted(found.selected.items()) if group_of(policy.groups, vm) == group.name
    ]
    count = len(members)
    few = "Fewer than two of its VMs are selected: no instant is shared." if count < 2 else ""
    many = too_many(count, policy.concurrency)
    return {
        "group": group.name,
        "on_member_failure": group.rules.on_member_failure.value,
        "count": count,
        "vms": [{"vm": vm.id, "name": vm.name} for vm in members[:limit]],
        "problem": few or (f"They are refused: {many}." if many else None),
    }


def settled_of(policy: Policy, vm: VmSummary) -> Settled:
    """Say what becomes of a VM's settings by its tags, in a run that no schedule started."""
    name = group_of(policy.groups, vm)
    rules = [rule for one in policy.groups if one.name == name for rule in rules_of_members(one.rules)]
    layers = for_vm(policy.layers, vm.id)
    return settle(policy.guest, layers, vm.os.lower(), vm.tags, policy.own_tags, rules=rules)


def _tags_view(policy: Policy, settled: Settled) -> dict[str, Any]:
    return {
        "priority": settled.priority if PRIORITY in policy.own_tags else None,
        "tags": [
            {"tag": each.tag, "code": each.code, "wrong": each.wrong, "sentence": each.sentence}
            for each in settled.remarks
        ],
    }


def _judge(found: _Found, selection: Selection, vm: VmSummary) -> None:
    key, verdict = vm.id.lower(), selection.judge(vm)
    found.seen.add(key)
    if verdict.selected:
        found.selected[key] = (vm, verdict.rule)
    elif verdict.rule:
        found.selected.pop(key, None)
        found.excluded[key] = (vm, verdict.rule)


def _first(found: Mapping[str, tuple[VmSummary, str]], limit: int) -> Sequence[tuple[VmSummary, str]]:
    return [found[key] for key in sorted(found)[:limit]]


def _vm_view(vm: VmSummary, rule: str) -> dict[str, Any]:
    return {"vm": vm.id, "name": vm.name, "rule": rule}


def times_view(due: DueSchedule) -> dict[str, Any]:
    """Show when a schedule is due, and what became of the times before."""
    missed = {"at": moment(due.missed_at), "why": due.missed_why}
    return {
        "name": due.schedule,
        "next_time": moment(due.next_due),
        "last_run": due.last_run or None,
        "last_run_at": moment(due.last_run_at),
        "last_missed": missed if due.missed_at is not None else None,
    }
