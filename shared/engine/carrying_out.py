"""One handler per effect. Each may be called twice for the same effect without harm."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.compute.agent_package import AgentInstallation, AgentPackage
from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.errors import ComputeError
from shared.compute.making import FailedOperation
from shared.compute.region_copies import CopyOrder
from shared.compute.restore_point import RestorePointTarget
from shared.compute.tags import at_birth, of_disk, of_group, when_graded
from shared.engine import measuring
from shared.engine.cataloguing import Catalogue
from shared.engine.group_views import mark_of
from shared.engine.grouping import Grouping
from shared.engine.orders import Keys, session_ms, signed_command
from shared.engine.ports import Admission, Clock, Compute, Following
from shared.engine.queue_names import STEPS, StepMessage
from shared.engine.script_storing import urls_of
from shared.engine.timelines import Timelines
from shared.engine.views import run_entry
from shared.logs import logger
from shared.policy.guest_processing import AgentCredential, AgentInstall, AgentUse
from shared.policy.snapshots import MOST_BESIDE_SHAPE
from shared.protocol import QUIESCE, RESUME
from shared.saga.effects import (
    Admit,
    Alert,
    Capture,
    CheckCopies,
    Clean,
    CopySnapshots,
    Effect,
    JoinBarrier,
    Leave,
    LeaveGroup,
    ReadFacts,
    RecordEnd,
    SendCommand,
    StartAgent,
    TakeRestorePoint,
    Watch,
)
from shared.saga.events import (
    Admitted,
    AgentNotStarted,
    CaptureEnded,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    RegionCopiesSeen,
)
from shared.saga.facts import DiskFacts
from shared.saga.passing import is_tried_again
from shared.saga.problems import problem_of
from shared.saga.snapshots import snapshot_of, tags_of
from shared.saga.state import Outcome, Phase, SagaState
from shared.storage.agents import AgentTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.guest_scripts import ScriptStore
from shared.storage.ports import MessageQueues
from shared.storage.runs import RunTable

_log = logger("effects")


@dataclass(frozen=True, slots=True)
class Hands:
    """What effects are carried out with."""

    compute: Compute
    queues: MessageQueues
    guests: GuestQueues
    scripts: ScriptStore
    runs: RunTable
    keys: Keys
    clock: Clock
    agents: AgentTable
    package: AgentPackage | None = None
    catalogue: Catalogue | None = None
    timelines: Timelines | None = None
    admission: Admission | None = None
    following: Following | None = None
    grouping: Grouping | None = None
    failed: dict[str, list[FailedOperation]] = field(default_factory=dict)
    """Operations by saga that Azure failed, to be asked about once the guest has gone on."""

    async def carry_out(self, state: SagaState, effects: Sequence[Effect]) -> Event | None:
        """Carry out the effects of a transition in order; give the event that answers them, if one does.

        At most one effect of a transition is answered, and it is carried out last.
        """
        answered = [effect for effect in effects if isinstance(effect, _ANSWERED)]
        for effect in effects:
            if effect not in answered:
                await _HANDLERS[type(effect)](self, state, effect)
        for effect in answered:
            return await _HANDLERS[type(effect)](self, state, effect)
        return None


async def _read_facts(hands: Hands, state: SagaState, effect: ReadFacts) -> Event:
    reading = hands.compute.read_facts(effect.vm_id, state.spec.snapshots, state.spec.disks)
    try:
        facts, resident = await asyncio.gather(reading, _has_resident_agent(hands, state))
    except ComputeError as error:
        return FactsUnavailable(error.code, error.detail, error.passing, error.cause)
    return FactsRead(replace(facts, resident_agent=resident))


async def _has_resident_agent(hands: Hands, state: SagaState) -> bool:
    """Whether an agent with the current key was heard of, where that may make a difference."""
    guest = state.spec.guest
    if (
        not state.spec.layers
        and not state.spec.own_tags
        and (not guest.enabled or guest.agent is not AgentUse.AUTO)
    ):
        return False
    agent = await hands.agents.get(state.spec.vm_id)
    return agent is not None and agent.key_version == hands.keys.version


async def _start_agent(hands: Hands, state: SagaState, effect: StartAgent) -> Event | None:
    assert state.facts is not None
    spec = state.spec
    by_sas = spec.guest.agent_credential is AgentCredential.SAS
    await hands.agents.note_use(spec.vm_id, hands.clock())  # before the queue is made: it is never unknown
    urls = await hands.guests.urls(spec.vm_id, session_ms(state), signed=by_sas)
    bootstrap = {
        "vm": spec.vm_id.lower(),
        "key": hands.keys.of_vm(spec.vm_id).hex(),
        "key_version": hands.keys.version,
        "credential": spec.guest.agent_credential.value,
        "client_id": spec.guest.agent_client_id,
        "command_queue": urls.command,
        "ack_queue": urls.ack,
        "command": signed_command(state, effect.order, hands.keys),
        "stay": False,
    }
    try:
        await hands.compute.start_agent(
            state.facts,
            spec.saga_id,
            effect.order.generation,
            json.dumps(bootstrap),
            install=_install(hands, state),
        )
    except ComputeError as error:
        return AgentNotStarted(effect.order.generation, error.code, error.detail, error.passing, error.cause)
    return None


def _install(hands: Hands, state: SagaState) -> AgentInstallation | None:
    mode = state.spec.guest.agent_install
    if hands.package is None or mode is AgentInstall.NEVER:
        return None
    return AgentInstallation(hands.package, upgrade=mode is AgentInstall.UPGRADE)


async def _admit(hands: Hands, state: SagaState, effect: Admit) -> Event:
    if hands.admission is None:
        return Admitted(effect.generation)
    return await hands.admission.admit(state, effect)


async def _leave(hands: Hands, state: SagaState, effect: Leave) -> None:
    if hands.admission is not None:
        await hands.admission.leave(state, effect)
    if hands.following is not None and state.phase is Phase.COMPLETING:
        await hands.following.guest_goes_on(state)  # the background copies keep no other VM waiting


async def _join_barrier(hands: Hands, state: SagaState, effect: JoinBarrier) -> Event | None:
    assert hands.grouping is not None
    return await hands.grouping.join(state, effect)


async def _leave_group(hands: Hands, state: SagaState, effect: LeaveGroup) -> None:
    assert hands.grouping is not None
    await hands.grouping.leave(state, effect)


async def _send_command(hands: Hands, state: SagaState, effect: SendCommand) -> None:
    urls = {}
    if effect.order.kind == QUIESCE:
        urls = await urls_of(state.spec.guest, hands.scripts, session_ms(state))
    text = signed_command(state, effect.order, hands.keys, urls)
    await hands.guests.send_command(state.spec.vm_id, text, effect.order.expires_at)
    if effect.order.kind == QUIESCE:
        await _warm(hands, state)
    elif effect.order.kind == RESUME:
        await _explain(hands, state)


async def _warm(hands: Hands, state: SagaState) -> None:
    """Get ready for the capture while the guest is still being quiesced: this process may be a fresh one."""
    try:
        await hands.compute.warm(state.spec.vm_id)
    except ComputeError as error:  # the capture will say it again, if it is still so
        _log.warning("not warm: %s", error)


async def _explain(hands: Hands, state: SagaState) -> None:
    """Learn why snapshots failed; it changes nothing, so no guest has to wait for it."""
    for failed in hands.failed.pop(state.spec.saga_id, []):
        reason = await hands.compute.explain(failed)
        _log.warning("%s failed: %s", failed.resource_id, reason)


async def _capture(hands: Hands, state: SagaState, effect: Capture) -> Event:
    spec = state.spec
    targets = [
        CaptureTarget(
            disk,
            snapshot_of(state, disk, effect.generation),
            tags=_tags_of(state, disk),
            settings=spec.snapshots,
        )
        for disk in effect.disks
    ]
    failed: list[FailedOperation] = []
    own = at_birth(policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=effect.generation)
    captures = await hands.compute.capture(
        targets,
        tags=own,
        not_before=effect.not_before,
        deadline=effect.deadline,
        held=_is_held(state),
        on_failed=failed.append,
    )
    await _note_failed(hands, state, failed)
    return CaptureEnded(effect.generation, captures)


async def _take_restore_point(hands: Hands, state: SagaState, effect: TakeRestorePoint) -> Event:
    """Make a restore point over all disks, and come back as soon as the guest need not wait any longer."""
    assert state.facts is not None
    spec, facts = state.spec, state.facts
    target = RestorePointTarget(
        point_id=effect.point_id,
        vm_id=spec.vm_id,
        location=facts.location,
        consistency=effect.consistency,
        disks=effect.disks,
        excluded=tuple(disk.disk_id for disk in facts.left_out if disk.disk_id),
        tags=dict(spec.snapshots.tags),
    )
    failed: list[FailedOperation] = []
    captures, report = await hands.compute.take_restore_point(
        target,
        not_before=effect.not_before,
        deadline=effect.deadline,
        held=_is_held(state),
        on_failed=failed.append,
    )
    await _note_failed(hands, state, failed)
    return CaptureEnded(effect.generation, captures, report)


def _is_held(state: SagaState) -> bool:
    return state.evidence is not None and state.evidence.quiesced is not None


async def _note_failed(hands: Hands, state: SagaState, failed: list[FailedOperation]) -> None:
    """Have the reasons asked for once no guest waits: after the order to resume, or now if none follows."""
    if failed:
        hands.failed[state.spec.saga_id] = failed
    if not _is_held(state):
        await _explain(hands, state)


async def _check_copies(hands: Hands, state: SagaState, effect: CheckCopies) -> Event:
    if hands.following is not None and state.spec.group is not None and not state.pauses:
        # Its guest went on before, but its group might have tried again until all had proved that they held.
        await hands.following.guest_goes_on(state)
    try:
        copies, lost = await hands.compute.look_at_copies(effect.snapshot_ids)
    except ComputeError as error:
        return CopiesSeen((), unreadable=f"{error.detail} ({error.code})")
    return CopiesSeen(copies, lost)


async def _copy_snapshots(hands: Hands, state: SagaState, effect: CopySnapshots) -> Event:
    """Begin and follow copies; they are born with all tags, as their source has its grade by now."""
    assert state.facts is not None
    spec = state.spec
    own = at_birth(policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=state.generation)
    targets = {target.region: target for target in spec.snapshots.copy_to}
    graded = await _graded(hands, state)
    disks = {snapshot_of(state, disk, state.generation): disk for disk in state.facts.disks}
    orders = [
        CopyOrder(
            copy=copy,
            target=targets[copy.region],
            settings=spec.snapshots,
            tags=_tags_of(state, disks[copy.source_id]) | own | graded,
        )
        for copy in effect.copies
    ]
    return RegionCopiesSeen(await hands.compute.copy_snapshots(orders, spec.saga_id))


def _tags_of(state: SagaState, disk: DiskFacts) -> dict[str, str]:
    """Give what a snapshot carries from its birth besides whose it is: the operator's tags, its VM's shape.

    The operator's come first where there is no room for both.
    """
    assert state.facts is not None
    asked = tags_of(state.spec.snapshots, disk)
    return asked | of_disk(state.facts, disk) if len(asked) <= MOST_BESIDE_SHAPE else asked


async def _graded(hands: Hands, state: SagaState) -> dict[str, str]:
    tags = when_graded(
        grade=state.grade.value if state.grade else "",
        freeze_window_ms=state.evidence.freeze_window_ms if state.evidence else None,
        evidence=state.evidence.digest() if state.evidence else "",
        warnings=len(state.warnings),
        left_out=[disk.slot for disk in state.facts.left_out] if state.facts else (),
        outcome=state.outcome.value if state.outcome else "",
    )
    if hands.grouping is None or state.spec.group is None:
        return tags
    mark = mark_of(state, await hands.grouping.of(state))
    assert mark is not None
    names = [name(vm) for vm in mark.members]
    group = of_group(group=mark.name, members=names, skew_ms=mark.skew_ms, one_instant=mark.one_instant)
    return tags | group


async def _clean(hands: Hands, state: SagaState, effect: Clean) -> Event:
    """Put everything in order, all at once: nobody is held any more, but nobody likes to wait either."""
    spec, compute = state.spec, hands.compute
    tags = await _graded(hands, state)
    if spec.snapshots.is_restore_point:  # its collection says whose its newest point is
        tags |= at_birth(
            policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=state.generation
        )
    jobs = {f"{name(kept)} could not be tagged": compute.tag(kept, tags) for kept in effect.keep}
    jobs |= {
        f"{name(unwanted)} could not be deleted": compute.delete(unwanted, spec.saga_id)
        for unwanted in effect.discard
    }
    jobs |= {
        f"the run command of generation {generation} could not be removed": compute.stop_agent(
            spec.vm_id, spec.saga_id, generation
        )
        for generation in range(1, effect.agent_generations + 1)
    }
    problems = await asyncio.gather(*(_problem(what, job) for what, job in jobs.items()))
    return Cleaned(tuple(problem for problem in problems if problem))


async def _problem(what: str, job: Awaitable[None]) -> str:
    try:
        await job
    except ComputeError as error:
        return f"{what}: {error.detail} ({error.code})"
    return ""


async def _alert(_hands: Hands, state: SagaState, effect: Alert) -> None:
    """One line per warning, made to be searched for: docs/recovery-points.md has the query for an alert."""
    for warning in effect.warnings:
        _log.warning(
            "stillframe warning: vm=%s of_generation=%d kind=%s name=%s code=%s: %s",
            state.spec.vm_id,
            warning.generation,
            warning.kind,
            json.dumps(warning.name),
            warning.code,
            warning.detail,
        )


async def _watch(hands: Hands, state: SagaState, effect: Watch) -> None:
    spec = state.spec
    message = StepMessage(spec.run_id, spec.saga_id, spec.vm_id, effect.number, try_number=spec.try_number)
    await hands.queues.send(STEPS, message.text(), delay_ms=max(0, effect.at - hands.clock()))


async def _record_end(hands: Hands, state: SagaState, effect: RecordEnd) -> None:
    if hands.catalogue is not None:
        await hands.catalogue.saga_ended(state)
    timeline = await hands.timelines.saga_ended(state.spec.saga_id) if hands.timelines else None
    entry = replace(run_entry(state), timeline=timeline)
    if hands.following is None:
        await hands.runs.end_entry(state.spec.run_id, entry)
    else:
        await hands.following.ended(state, entry)
    measuring.saga_ended(state, timeline)
    if effect.watch_receipt:
        await hands.queues.cancel(STEPS, effect.watch_receipt)
    _tell_end(state)


def _tell_end(state: SagaState) -> None:
    """One line per end: the alerts and the workbook of infra/watch read it, and a test holds them to it."""
    window = state.evidence.freeze_window_ms if state.evidence else None
    budget, problem = state.spec.guest.longest_hold_ms, problem_of(state)
    well = problem is None or state.outcome is Outcome.CANCELLED
    what = "rehearsal ended" if state.spec.rehearsal else "try ended" if is_tried_again(state) else "ended"
    _log.log(
        logging.INFO if well else logging.WARNING,
        "stillframe %s: vm=%s outcome=%s grade=%s cause=%s, %s: %s%s",
        what,
        state.spec.vm_id,
        state.outcome,
        state.grade or "none",
        problem.cause if problem else "none",
        "nothing was held" if window is None else f"freeze window {window} ms of {budget} ms",
        "; ".join(state.reasons),
        f"; failing step: {problem.step}. {problem.sentence} {problem.what_to_do}" if problem else "",
    )


def name(resource_id: str) -> str:
    """Give the last part of an ARM id."""
    return resource_id.rpartition("/")[2]


_HANDLERS: Mapping[type, Callable[[Hands, SagaState, Any], Awaitable[Event | None]]] = {
    ReadFacts: _read_facts,
    StartAgent: _start_agent,
    SendCommand: _send_command,
    Admit: _admit,
    Leave: _leave,
    JoinBarrier: _join_barrier,
    LeaveGroup: _leave_group,
    Capture: _capture,
    TakeRestorePoint: _take_restore_point,
    CheckCopies: _check_copies,
    CopySnapshots: _copy_snapshots,
    Clean: _clean,
    Alert: _alert,
    Watch: _watch,
    RecordEnd: _record_end,
}

#: Effects that are answered by an event.
_ANSWERED = (
    ReadFacts,
    StartAgent,
    Admit,
    JoinBarrier,
    Capture,
    TakeRestorePoint,
    CheckCopies,
    CopySnapshots,
    Clean,
)
