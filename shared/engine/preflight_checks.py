"""What is to be said of a VM before a run: what would stop it, what would weaken it, and what is well. Pure.

What a saga would do is not guessed: the saga's own machine is asked (`forecast`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.compute.diagnosing import DISK, GROUP, VM, Refusal
from shared.policy.guest_processing import AgentUse, AnchorProvider, Filesystems
from shared.policy.own_tags import Remark
from shared.saga.advice_by_code import AZURE
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.events import Cleaned, FactsRead, Started
from shared.saga.facts import VmFacts
from shared.saga.group import OnMemberFailure
from shared.saga.machine import advance
from shared.saga.phases import pending
from shared.saga.problems import problem_of
from shared.saga.restore_points import asked_consistency, held_by_platform
from shared.saga.snapshots import remarks
from shared.saga.state import Phase, SagaSpec, SagaState


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """There would be no recovery point."""

    WARNING = "warning"
    """It would be worth less than it might be, or soon there will be none."""

    OK = "ok"
    """It is as it should be."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at. ``code`` is stable, the rest for people."""

    code: str
    level: Level
    sentence: str
    what_to_do: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """What is known of an agent that lives in the guest. ``current``: it has the key that is used now."""

    version: str
    current: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the best recovery point would be, and why; ``grade`` None: there would be none."""

    grade: Grade | None
    why: str


def forecast(spec: SagaSpec, facts: VmFacts, now: int) -> SagaState:
    """Give the saga as it would be after it has read these facts: stopped, holding, or snapshotting."""
    state = advance(pending(spec, now), Started(), now).state
    # What passes by itself is waited for, and then it is as if it had not been there.
    state = advance(state, FactsRead(replace(facts, passing_obstacles=())), now).state
    return advance(state, Cleaned(), now).state if state.phase is Phase.CLEANING else state


def refused(refusals: tuple[Refusal, ...], vm_name: str) -> Iterator[Check]:
    """Yield what Azure would not show."""
    kinds = {VM: "vm_unreadable", DISK: "disk_unreadable", GROUP: "group_unreadable"}
    for each in refusals:
        code = "right_missing" if each.cause == "denied" else kinds[each.what]
        todo = _ABSENT.get(each.what, "") if each.cause == "not_found" else ""
        todo = todo or AZURE.get(each.cause, AZURE["failed"])
        sentence = f"Azure would not show the {each.what} {each.name}: {each.detail}"
        yield Check(code, Level.ERROR, sentence, todo.format_map({"vm": vm_name, "name": each.name}))


_ABSENT = {
    GROUP: "Create the resource group (`az group create -n {name}`), or name another one in `snapshots`.",
    DISK: "See whether the disk was just detached or deleted; then look again.",
}


def checks(state: SagaState, facts: VmFacts, agent: Agent | None) -> Iterator[Check]:
    """Yield everything that the facts of a VM say about its next saga, which is as `forecast` gave it."""
    yield from _end(state)
    yield from _power(state, facts)
    yield from _agent(state, facts, agent)
    yield from _required(state, facts)
    yield from _group(state, facts)
    yield from _disks(state, facts)


def _group(state: SagaState, facts: VmFacts) -> Iterator[Check]:
    """Say which group it shares its instant with; what keeps it from that is the end of the forecast."""
    group = state.spec.group
    if group is None or state.phase is Phase.DONE:
        return
    hindrance = state.trouble.detail if state.trouble else ""
    if state.spec.guest.anchor is not None:
        hindrance = hindrance or "an anchor's instant lies before the others are held"
    if best(state).grade is Grade.CRASH:
        hindrance = hindrance or "what would be held in it cannot be proved"
    if hindrance:
        told = f"{facts.name} cannot share the instant of the group {group.name}: {hindrance}"
        todo = f"See docs/groups.md, or take {facts.name} out of the group."
        costs_all = group.rules.on_member_failure is OnMemberFailure.ALL
        yield Check("out_of_group", Level.ERROR if costs_all else Level.WARNING, told, todo)
    else:
        told = f"{facts.name} can share one instant with the other VMs of the group {group.name}"
        yield Check("in_group", Level.OK, told)


def told_of_tags(remarks: Iterable[Remark]) -> Iterator[Check]:
    """Yield what is to be said of the VM's own tags."""
    for each in remarks:
        told = each.sentence[:1].upper() + each.sentence[1:]
        if each.wrong:
            yield Check(each.code, Level.WARNING, told, f"Correct or remove the tag {each.tag}. {_TAGS}")
        else:
            yield Check(each.code, Level.OK, told, _TAGS)


_TAGS = "See docs/policies.md for the tags that there are, and `allow_tags`."


def _required(state: SagaState, facts: VmFacts) -> Iterator[Check]:
    """Yield whether what the policy requires of applications can be, as far as it can be known from here."""
    if not state.spec.guest.application_required or state.phase is Phase.DONE:
        return  # that it cannot be is the end of the saga, and told by `_end`
    can_be = _possible(state)
    if can_be.grade is not Grade.APPLICATION:
        told = f"{facts.name} has to be application-consistent, and cannot be: {can_be.why}"
        yield Check(Cause.APPLICATION_REQUIRED.value, Level.ERROR, told, _REQUIRED)
    elif _depends_on_what_is_found(state):
        told = f"{facts.name} has to be application-consistent: only in it is seen whether an application is"
        yield Check("application_unknown", Level.WARNING, f"{told} found", _REHEARSE)
    else:
        told = f"Applications in {facts.name} are asked to hold still, as is required"
        yield Check("application_asked", Level.OK, told)


_REQUIRED = "Name its application by a handler or a script (docs/applications.md), or set `on`."
_REHEARSE = "Try it once: `POST /api/rehearsals` (docs/rehearsals.md) says what is found and held."


def _depends_on_what_is_found(state: SagaState) -> bool:
    guest = state.spec.guest
    by_vss = guest.anchor is not None and guest.anchor.provider is AnchorProvider.VSS
    named = guest.pre_script or guest.handlers or by_vss
    return bool(guest.detect_handlers) and not named and not held_by_platform(state)


def _end(state: SagaState) -> Iterator[Check]:
    problem = problem_of(state)
    if problem is not None:
        yield Check(problem.cause.value, Level.ERROR, problem.sentence, problem.what_to_do)


def _power(state: SagaState, facts: VmFacts) -> Iterator[Check]:
    if facts.running:
        yield Check("vm_running", Level.OK, f"{facts.name} is running")
    else:
        told = f"{facts.name} is not running ({facts.power_state}): there is no guest to hold"
        todo = f"Start {facts.name} before the run, if its applications are to be held."
        yield Check("vm_not_running", Level.WARNING, told, todo if state.spec.guest.enabled else "")
    if not state.spec.guest.enabled:
        todo = "Set `guest_processing.enabled` to true, if applications are to be held."
        yield Check("guest_processing_off", Level.WARNING, "Guest processing is off: nothing is held", todo)


def _agent(state: SagaState, facts: VmFacts, agent: Agent | None) -> Iterator[Check]:
    guest = state.spec.guest
    if not guest.enabled or not facts.running or held_by_platform(state):
        return
    stops = Level.WARNING if guest.keeps_less else Level.ERROR
    if facts.os_type.lower() not in ("linux", "windows"):
        told = f"There is no agent for the system of {facts.name} ({facts.os_type or 'unknown'})"
        yield Check("unsupported_system", stops, told, AZURE["unsupported_guest"].format(vm=facts.name))
        return
    if agent is not None and agent.current:
        told = f"An agent (version {agent.version}) lives in {facts.name}"
        yield Check("agent_heard", Level.OK, told)
        return
    if agent is not None:
        told = f"The agent that lives in {facts.name} has a key of before the last rotation"
        yield Check("agent_key_old", Level.WARNING, told, "Enrol it again (docs/guests.md).")
    if guest.agent is AgentUse.RESIDENT:
        told = f"No agent was heard of that lives in {facts.name}, and none may be started"
        todo = 'Make one resident (docs/guests.md), or set `guest_processing.agent` to "auto".'
        yield Check("agent_not_heard", stops, told, todo)
    elif not facts.vm_agent_ready:
        told = f"The VM agent of {facts.name} is not ready, so that ours cannot be started by a run command"
        todo = f"See `az vm get-instance-view -n {facts.name}`, or make our agent resident (docs/guests.md)."
        yield Check("vm_agent_not_ready", stops, told, todo)
    else:
        told = f"No agent lives in {facts.name}: one is started by a run command, which takes longer"
        yield Check("agent_by_run_command", Level.OK, told)


def _disks(state: SagaState, facts: VmFacts) -> Iterator[Check]:
    for disk in facts.disks:
        place = "of the system" if disk.lun is None else f"at LUN {disk.lun}"
        told = f"The disk {place}, {disk.name} ({disk.sku}, {disk.size_gib} GiB), is in the recovery point"
        yield Check("disk_in", Level.OK, told)
    for out in facts.left_out:
        told = out.sentence[:1].upper() + out.sentence[1:]
        todo = "See `disks` of the policy, if it should be (docs/snapshots.md)."
        yield Check("disk_left_out", Level.WARNING, told, todo)
    for met in facts.passing_obstacles:
        todo = "Wait a few minutes; a run waits for it too (`concurrency.admission_timeout_ms`)."
        yield Check("limit_for_now", Level.WARNING, met[:1].upper() + met[1:], todo)
    for near in facts.near_limits:
        todo = "Let fewer snapshots be kept, or made (docs/recovery-points.md)."
        yield Check("near_limit", Level.WARNING, near[:1].upper() + near[1:], todo)
    for remark in remarks(state.spec.snapshots, facts.disks):
        yield Check("setting_does_not_fit", Level.WARNING, remark[:1].upper() + remark[1:], _SETTINGS)
    for target in state.spec.snapshots.copy_to:
        if target.region == facts.location.lower():
            told = f"The snapshots are to be copied to {target.region}, where {facts.name} is already"
            yield Check("copy_in_same_region", Level.WARNING, told, _SETTINGS)


_SETTINGS = "Change `snapshots` of the policy (docs/snapshots.md), or leave it as it is."


def best(state: SagaState) -> Forecast:
    """Say how consistent the recovery point can be at best, if everything goes well, and why not more."""
    possible = _possible(state)
    if state.spec.guest.application_required and possible.grade is not Grade.APPLICATION:
        return Forecast(None, f"it has to be application-consistent, and cannot be: {possible.why}")
    return possible


def _possible(state: SagaState) -> Forecast:
    facts, guest = state.facts, state.spec.guest
    assert facts is not None
    if state.phase is Phase.DONE:
        return Forecast(None, "; ".join(state.reasons))
    if state.phase is Phase.CAPTURING:
        if held_by_platform(state) and facts.running:
            return Forecast(Grade.APPLICATION, "Azure's own VSS holds the guest, and its word is the grade")
        return Forecast(Grade.CRASH, state.notes[-1])
    applications = guest.quiesces_applications or guest.detect_handlers or bool(guest.handlers)
    held = guest.anchor is not None or (guest.filesystems is Filesystems.ALL and not facts.is_windows)
    if held and applications:
        return Forecast(
            Grade.APPLICATION, "applications are asked to hold still, and what they write to is held"
        )
    if held:
        return Forecast(Grade.FILESYSTEM, "filesystems are held, and no application is asked to hold still")
    if state.spec.snapshots.is_restore_point and not asked_consistency(replace(state, evidence=None)):
        grade = Grade.APPLICATION if facts.is_windows else Grade.FILESYSTEM
        return Forecast(grade, "Azure holds the guest too, and its word is the grade")
    if guest.handlers or guest.detect_handlers:
        why = (
            "only if every handler holds every write by itself: no filesystem is held (docs/applications.md)"
        )
        return Forecast(Grade.APPLICATION, why)
    return Forecast(Grade.CRASH, "what a script alone holds cannot be proved: no filesystem is held")
