"""Groups of VMs as their users see them, and what a recovery point says of its group."""

from collections.abc import Sequence
from typing import Any

from shared.engine.grouping import in_words
from shared.engine.run_settings import read_groups
from shared.policy.groups import Group
from shared.saga.group import Barrier, awaited
from shared.saga.one_instant import why_not_one_instant
from shared.saga.state import SagaState
from shared.storage.groups import GroupRecord
from shared.storage.point_records import GroupMark
from shared.storage.run_records import RunEntry, RunRecord

_WAITS = {
    Barrier.ARMED: "Its VMs get ready; none is held before all are.",
    Barrier.HELD: "All are ready and are being held; none is snapshotted before all are held.",
    Barrier.CAPTURED: "All are held and are being snapshotted; none goes on before all are captured.",
    Barrier.PROVED: "All have their snapshots; each still has to prove that it was held until then.",
}

#: What is told of a group where its members are not.
IN_SHORT = ("group", "state", "one_instant", "sentence")

_SELECTING = "Azure is being asked which VMs these are."


def groups_view(
    record: RunRecord, entries: Sequence[RunEntry], groups: Sequence[GroupRecord]
) -> list[dict[str, Any]]:
    """Show the groups of a run, in the order of its policy; also those that came to nothing."""
    by_name = {group.name: group for group in groups}
    shown = []
    for wanted in read_groups(record):
        known = by_name.get(wanted.name)
        if known is not None:
            shown.append(group_view(known))
        else:
            members = [entry for entry in entries if entry.group == wanted.name and not entry.retried]
            shown.append(_none_view(wanted, members, selecting=record.selecting))
    return shown


def groups_in_short(record: RunRecord, groups: Sequence[GroupRecord]) -> list[dict[str, Any]]:
    """Tell of the groups of a run, whatever VMs they have: whether they share one instant, and why not."""
    by_name = {group.name: group for group in groups}
    return [_in_short(record, wanted.name, by_name.get(wanted.name)) for wanted in read_groups(record)]


def _in_short(record: RunRecord, name: str, known: GroupRecord | None) -> dict[str, Any]:
    if known is not None:
        whole = group_view(known)
        return {each: whole[each] for each in IN_SHORT}
    if record.selecting:
        return {"group": name, "state": "selecting", "one_instant": None, "sentence": _SELECTING}
    few = "Fewer than two of its VMs are in the run: no instant is shared."
    return {"group": name, "state": "alone", "one_instant": False, "sentence": few}


def group_view(record: GroupRecord) -> dict[str, Any]:
    """Show a group: where it is, who fell and why, and what it came to."""
    group = record.state
    following = None if group.ended else awaited(group)
    return {
        "group": record.name,
        "state": "broken" if group.broken else group.opened.value if group.opened else "waiting",
        "sentence": _sentence(record),
        "waits_for": following.value if following else None,
        "attempt": group.attempt,
        "on_member_failure": group.rules.on_member_failure.value,
        "one_instant": not _doubt(record) if group.ended else None,
        "skew_ms": record.skew_ms,
        "members": [
            {
                "vm": vm,
                "name": _name(vm),
                "saga": member.saga,
                "reached": member.reached.value if member.reached else None,
                "fell": in_words(record, member.fallen) or None,
            }
            for member, vm in zip(group.members, record.vms, strict=True)
        ],
    }


def _none_view(wanted: Group, members: Sequence[RunEntry], *, selecting: bool) -> dict[str, Any]:
    """Show a group that there is not, yet or at all: of one VM, or of none."""
    if selecting:
        state, sentence = "selecting", _SELECTING
    elif members:
        name = _name(members[0].vm_id)
        state, sentence = "alone", f"Only {name} of its VMs is in the run: it goes its way alone."
    else:
        state, sentence = "empty", "None of its VMs is in the run."
    return {
        "group": wanted.name,
        "state": state,
        "sentence": sentence,
        "waits_for": None,
        "attempt": 0,
        "on_member_failure": wanted.rules.on_member_failure.value,
        "one_instant": None if selecting else False,
        "skew_ms": None,
        "members": [
            {
                "vm": entry.vm_id,
                "name": _name(entry.vm_id),
                "saga": entry.saga_id,
                "reached": None,
                "fell": None,
            }
            for entry in members
        ],
    }


def _sentence(record: GroupRecord) -> str:
    group = record.state
    if group.broken:
        return f"None of its VMs keeps a recovery point of one instant. {in_words(record, group.broken)}."
    following = awaited(group)
    if not group.left:
        return "All of its VMs fell: no instant is shared."
    if len(group.left) < 2 and following is None:
        return f"Only {_name(record.vm_of(group.left[0].saga))} was left of it: no instant is shared."
    if following is not None:
        return _WAITS[following]
    doubt = _doubt(record)
    return f"No instant is shared: {doubt}." if doubt else _proved(record)


def _doubt(record: GroupRecord) -> str:
    """Say why no instant is shared by those who are left of a group that is over; empty where one is."""
    if len(record.state.proved) < 2:
        return "fewer than two of its VMs were left"
    shares = record.proved()
    if not any(shares):  # a rehearsal has no snapshots whose instants could speak against it
        return ""
    return why_not_one_instant(shares)


def _proved(record: GroupRecord) -> str:
    """Say what is proved, and of how many."""
    left = len(record.state.left)
    fell = len(record.state.members) - left
    who = f"All {left} of its VMs" if not fell else f"The {left} VMs that were left"
    apart = "" if record.skew_ms is None else f", which were made within {record.skew_ms} ms"
    return f"{who} were held from before the first of their snapshots until after the last{apart}."


def mark_of(state: SagaState, record: GroupRecord | None) -> GroupMark | None:
    """Give what the recovery point of a saga says of its group; None where it has none.

    One instant is claimed only where the whole group proved it: what the saga heard, and what the row says.
    """
    member = state.spec.group
    if member is None:
        return None
    if record is None:
        return GroupMark(name=member.name, members=member.vms, why="nothing is known of the group any more")
    saga, group = state.spec.saga_id, record.state
    if state.standing.proved and saga in group.proved:
        vms = tuple(record.vm_of(one) for one in group.proved)
        doubt = _doubt(record)
        if doubt:
            return GroupMark(name=record.name, members=vms, skew_ms=record.skew_ms, why=doubt)
        return GroupMark(
            name=record.name, members=vms, skew_ms=record.skew_ms, one_instant=True, why=_proved(record)
        )
    fallen = next((one.fallen for one in group.members if one.saga == saga), "")
    why = in_words(record, group.broken or fallen or state.standing.out) or "the group did not prove it"
    return GroupMark(name=record.name, members=record.vms, why=why)


def mark_view(mark: GroupMark | None) -> dict[str, Any] | None:
    """Show what a recovery point says of its group; None where it says nothing."""
    if mark is None:
        return None
    return {
        "group": mark.name,
        "members": list(mark.members),
        "skew_ms": mark.skew_ms,
        "one_instant": mark.one_instant,
        "why": mark.why,
    }


def _name(vm_id: str) -> str:
    return vm_id.rpartition("/")[2]
