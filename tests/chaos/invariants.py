"""What has to hold after every round, whatever happened in it, looked at from outside."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from local.guests.control import ControlError
from local.stack.api import ApiError
from local.stack.waiting import TooSlowError, until
from local.world.frozen import ProbeUndecidedError
from local.world.restore import CheckFailedError, MissingSnapshotError
from shared.engine.queue_names import ACKS, GROUPS, RUNS, STEPS
from shared.saga.group import OnMemberFailure
from shared.storage.guest_names import command_queue
from tests.chaos.arena import Arena
from tests.e2e.scene import (
    BUDGET_MARGIN_MS,
    SOON_S,
    Machine,
    kept_ids,
    left_in_poison_queues,
    windows,
    windows_within_budget,
)

#: The longest session of three attempts with the rounds' settings, and a little.
_SESSION_S = 300.0

#: What a look may end with instead of an answer: then what is looked at is not as it should be.
_NO_ANSWER = (
    AssertionError,
    TooSlowError,
    ControlError,
    ApiError,
    ProbeUndecidedError,
    CheckFailedError,
    MissingSnapshotError,
    KeyError,
    OSError,
)

#: Errors that faults of storage, Azure and messages may come to in a log: of their own types, not Python's.
_FORESEEN = re.compile(
    r"^(azure\.|aiohttp\.|shared\.|local\.functions_host\.|asyncio\.exceptions\.|Connection|TimeoutError)"
)
#: A record of a log begins with the time; and of a chain of errors the last one counts.
_RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d[T ])", re.MULTILINE)
_ERROR = re.compile(r"^\S.*", re.MULTILINE)
_TRACE = "Traceback (most recent call last):"


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold."""

    invariant: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a round left: the views of its sagas by VM, and what was seen meanwhile."""

    arena: Arena
    run_id: str
    views: Mapping[str, Mapping[str, Any]]
    longest_held_ms: int
    log: str
    scripts_ended: bool = False
    """Whether a script may have been ended in its middle."""

    def of(self, machine: Machine) -> Mapping[str, Any]:
        """Give the view of a VM's saga; empty for one that has not begun, which is a violation of its own."""
        view = self.views.get(machine.name, {})
        return view if "guest_processing" in view else {}


type Invariant = Callable[[Look], AsyncIterator[str]]


async def every_saga_has_ended(look: Look) -> AsyncIterator[str]:
    for machine in look.arena.machines:
        phase = look.of(machine).get("phase", "not known")
        if phase != "done":
            yield f"{machine.name}: {phase}"


async def applications_write(look: Look) -> AsyncIterator[str]:
    for machine in look.arena.machines:
        if machine.spec.application and not await machine.writes():
            yield f"{machine.name} is held"


async def nothing_is_frozen(look: Look) -> AsyncIterator[str]:
    for machine in look.arena.machines:
        for mount in await machine.frozen():
            yield f"{mount} is frozen"


async def scripts_ran_in_pairs(look: Look) -> AsyncIterator[str]:
    """Pre- and post-script once in each generation that began, in this order.

    A post-script that was ended in its middle begins once more.
    """
    for machine in look.arena.machines:
        lines = machine.lines()
        if look.scripts_ended:
            before_and_after = pairwise(["", *lines])
            lines = [line for before, line in before_and_after if line != before or line.startswith("pre")]
        generations = dict.fromkeys(line.split()[1] for line in lines)
        if lines != [f"{hook} {each}" for each in generations for hook in ("pre", "post")]:
            yield f"{machine.name}: {lines}"


async def held_within_the_budget(look: Look) -> AsyncIterator[str]:
    """By the guest's own word, and as its application was seen from outside."""
    for machine in look.arena.machines:
        view = look.of(machine)
        if view and not windows_within_budget(view):
            yield f"{machine.name}: windows of {windows(view)} ms"
    views = [look.of(machine) for machine in look.arena.machines]
    budgets = [view["guest_processing"]["freeze_budget_ms"] for view in views if view]
    if budgets and look.longest_held_ms > max(budgets) + BUDGET_MARGIN_MS:
        yield f"seen held for {look.longest_held_ms} ms"


async def the_grade_is_true(look: Look) -> AsyncIterator[str]:
    """What is called more than crash-consistent is restored, and its application checks itself."""
    for machine in look.arena.machines:
        view = look.of(machine)
        if view.get("grade") in ("application", "filesystem"):
            verdict = await look.arena.stack.restore(machine.spec, kept_ids(view))
            if not verdict.whole:
                yield f"{machine.name}: {view['grade']}, but {verdict.reason}"


async def outcome_and_recovery_point_agree(look: Look) -> AsyncIterator[str]:
    for machine in look.arena.machines:
        view = look.of(machine)
        if not view:
            continue
        kept, outcome = len(view["recovery_point"]), view["outcome"]
        wanted = len(machine.spec.disks) if outcome in ("succeeded", "degraded") else 0
        if kept != wanted or bool(kept) != bool(view["grade"]):
            yield f"{machine.name}: {outcome}, grade {view['grade']}, {kept} snapshots"
        if outcome != "succeeded" and not view["reasons"]:
            yield f"{machine.name}: {outcome} without a reason"


async def the_run_says_the_same(look: Look) -> AsyncIterator[str]:
    run = await look.arena.stack.api.ended(look.run_id, within_s=SOON_S)
    told = {entry["vm"].lower(): (entry["outcome"], entry["grade"]) for entry in run["vms"]}
    for machine in look.arena.machines:
        view = look.of(machine)
        if view and told.get(machine.id.lower()) != (view["outcome"], view["grade"]):
            yield f"{machine.name}: {view['outcome']}, {view['grade']}, but the run says {told}"


async def one_instant_is_true(look: Look) -> AsyncIterator[str]:
    """At each snapshot of a VM that claims it, all members of its group were held, and they all claim it."""
    held = look.arena.witness.held
    marks = {machine.id.lower(): _mark(look.of(machine)) for machine in look.arena.machines}
    for machine in look.arena.machines:
        mark = marks[machine.id.lower()]
        if not mark.get("one_instant"):
            continue
        members = {vm.rpartition("/")[2] for vm in mark["members"]}
        for snapshot in kept_ids(look.of(machine)):
            name = snapshot.rpartition("/")[2]
            if absent := members - held.get(name, frozenset()):
                yield f"{machine.name}: {', '.join(sorted(absent))} not held at {name}"
        if others := [vm for vm in mark["members"] if marks.get(vm.lower()) != mark]:
            yield f"{machine.name} claims one instant with {others}, which say something else"


async def groups_end_by_their_rule(look: Look) -> AsyncIterator[str]:
    """A group is proved or broken in the end; where all stand or fall together, no member keeps less."""
    run = await look.arena.stack.api.run(look.run_id)
    for group in run["groups"] or ():
        if group["state"] not in ("proved", "broken", "empty"):
            yield f"{group['state']}: {group['sentence']}"
        kept = {machine.name: bool(look.of(machine).get("recovery_point")) for machine in look.arena.machines}
        if group["on_member_failure"] == OnMemberFailure.ALL and len(set(kept.values())) > 1:
            yield f"{group['state']}: {group['sentence']}; kept: {kept}"


def _mark(view: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what a recovery point says of its group; nothing where there is none."""
    group = view.get("group") if view.get("recovery_point") else None
    return (group and group["recovery_point"]) or {}


async def nothing_is_left_in_azure(look: Look) -> AsyncIterator[str]:
    """No snapshot that nobody keeps, none missing, and no run command."""
    for machine in look.arena.machines:
        kept = (
            {resource_id.lower() for resource_id in kept_ids(look.of(machine))} if look.of(machine) else set()
        )

        async def tidy(machine: Machine = machine, kept: set[str] = kept) -> bool:
            return machine.snapshots() == kept and machine.run_commands() == 0

        try:
            await until(tidy, within_s=SOON_S, what=machine.name)
        except TooSlowError:
            found = {each.rpartition("/")[2] for each in machine.snapshots() ^ kept}
            yield f"{machine.name}: {found or ''} {machine.run_commands()} run commands"


async def poison_queues_are_empty(look: Look) -> AsyncIterator[str]:
    """What is put aside is read again, and ends its saga or is dropped; nothing piles up."""
    left = await left_in_poison_queues(look.arena.stack)
    for queue, count in left.items():
        yield f"{queue}: {count}"


async def no_queue_is_left_behind(look: Look) -> AsyncIterator[str]:
    """There are the app's own queues and one for each VM, however many runs it had."""
    own = {RUNS, STEPS, ACKS, GROUPS}
    known = own | {f"{queue}-poison" for queue in own}
    known |= {command_queue(machine.id) for machine in look.arena.machines}
    for queue in sorted(await look.arena.queues() - known):
        yield queue


async def logs_tell_of_no_mistake(look: Look) -> AsyncIterator[str]:
    """No error of a programmer's in the logs of host and agents; what is failed on purpose is foreseen."""
    for record in _RECORD.split(look.log):
        _, trace, last = record.rpartition(_TRACE)
        error = _ERROR.search(last) if trace else None
        if error and not _FORESEEN.match(error[0]):
            yield error[0][:300]


INVARIANTS: Mapping[str, Invariant] = {
    "every saga has ended": every_saga_has_ended,
    "applications write": applications_write,
    "nothing is frozen": nothing_is_frozen,
    "scripts ran in pairs": scripts_ran_in_pairs,
    "held within the budget": held_within_the_budget,
    "outcome and recovery point agree": outcome_and_recovery_point_agree,
    "the run says the same": the_run_says_the_same,
    "one instant is true": one_instant_is_true,
    "groups end by their rule": groups_end_by_their_rule,
    "nothing is left in Azure": nothing_is_left_in_azure,
    "poison queues are empty": poison_queues_are_empty,
    "no queue is left behind": no_queue_is_left_behind,
    "logs tell of no mistake": logs_tell_of_no_mistake,
    "the grade is true": the_grade_is_true,
}


async def agents_leave(arena: Arena) -> AsyncIterator[str]:
    """No agent stays: one whose saga has ended without telling it leaves when its session is over."""

    async def gone() -> bool:
        return not any(machine.has_agent() for machine in arena.machines)

    try:
        await until(gone, within_s=_SESSION_S, what="the agents leave")
    except TooSlowError as error:
        yield str(error)


async def violations(look: Look) -> list[Violation]:
    """Look at everything; the applications are paused for the restored copies in the end."""
    found: list[Violation] = []
    for name, invariant in INVARIANTS.items():
        if invariant is the_grade_is_true:
            await _pause(look.arena)
        try:
            found += [Violation(name, what) async for what in invariant(look)]
        except _NO_ANSWER as error:
            found.append(Violation(name, f"{type(error).__name__}: {error}"))
    return found


async def _pause(arena: Arena) -> None:
    try:
        await arena.order("pause")
    except ControlError:
        await asyncio.sleep(0)  # that it does not answer was found before
