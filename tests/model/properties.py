"""What must be true: in every world, and at every end."""

from typing import NamedTuple

from shared.saga.consistency import Grade
from shared.saga.copying import FAILED as COPY_FAILED
from shared.saga.state import Outcome, Phase, SagaState
from tests.model.cloud import Cloud
from tests.model.group import wrong_at_the_end, wrong_in_a_group
from tests.model.guest import Guest, has_somebody, overheld
from tests.model.scenes import DISKS
from tests.model.snapshots import SUCCEEDED, find
from tests.model.times import SETTLED
from tests.model.world import World, Worlds

PROPERTIES = {
    1: "a held guest is released within its budget by somebody who is alive, and no saga believes it sooner",
    2: "a consistent grade means that everything of one generation was held when each disk was snapshotted, "
    "and where application is required nothing less is kept",
    3: "the post-script runs once, after the thaw, if and only if the pre-script began",
    4: "when faults stop every saga ends, and every snapshot is recorded or deleted",
    5: "doing anything twice does what doing it once does",
    6: "something can always happen until the saga is done, and nothing is without an answer",
    7: "who is held was admitted, and its place is nobody else's before it goes on, and free afterwards",
    8: "a rehearsal asks for no snapshot, and is no recovery point",
    9: "a member of a group goes on only as its group opens the way, and says so when it falls",
}


_WELL = (Outcome.SUCCEEDED, Outcome.REHEARSED)


class Violation(NamedTuple):
    """A property that does not hold, and what is wrong in a sentence."""

    number: int
    what: str


def in_every_world(worlds: Worlds, world: World) -> Violation | None:
    """Look at a world."""
    cloud, guest = worlds.clouds.value(world.cloud), worlds.guests.value(world.guest)
    scripts = worlds.scene.guest.post_script is not None
    if overheld(guest, post_script=scripts):
        return Violation(1, "the guest is held longer than its budget, and somebody is alive")
    record = cloud.stored
    wrong = "" if record is None else _believed(record.state, guest)
    if wrong:
        return Violation(1, wrong)
    wrong = "" if record is None else _graded(record.state, cloud) or _required(record.state)
    if wrong:
        return Violation(2, wrong)
    wrong = _placed(cloud, guest) if worlds.scene.concurrency else ""
    if wrong:
        return Violation(7, wrong)
    wrong = _scripts(guest) if scripts else ""
    if wrong:
        return Violation(3, wrong)
    wrong = _together(cloud) if worlds.scene.group else ""
    if wrong:
        return Violation(9, wrong)
    wrong = _rehearsed(cloud) if worlds.scene.rehearsal else ""
    if wrong:
        return Violation(8, wrong)
    wrong = worlds.repeated(world)
    return Violation(5, wrong) if wrong else None


def _believed(state: SagaState, guest: Guest) -> str:
    """What the saga decides on while its guest is held was decided too early."""
    decided = state.guest_released or state.phase in SETTLED
    if decided and guest.frozen is not None and has_somebody(guest) and not _forgot(state, guest):
        return f"the saga ({state.phase}) takes its guest for released, and it is held"
    return ""


def _forgot(state: SagaState, guest: Guest) -> bool:
    """Whether a guest that was rebooted obeys what it no longer knows to be over: its budget bounds it."""
    assert guest.frozen is not None
    over = state.phase in (Phase.CLEANING, Phase.DONE) or guest.frozen.generation < state.generation
    return guest.boot > 1 and over


def _placed(cloud: Cloud, guest: Guest) -> str:
    """Who is held has a place. A guest that forgot what is over is bounded by its budget alone."""
    record, frozen = cloud.stored, guest.frozen
    if record is None or frozen is None:
        return ""
    if frozen.generation > cloud.admitted:
        return "the guest is held, and was never admitted"
    if cloud.place[0] != frozen.generation and has_somebody(guest) and not _forgot(record.state, guest):
        return "the guest is held, and its place may be another's"
    return ""


def _graded(state: SagaState, cloud: Cloud) -> str:
    if not state.recovery_point or state.grade is None or not state.grade.at_least(Grade.FILESYSTEM):
        return ""
    assert state.evidence is not None
    for kept in state.recovery_point:
        snapshot = find(cloud.snapshots, kept.snapshot_id)
        if snapshot is None or snapshot.held != state.evidence.generation:
            held = "nobody knows what" if snapshot is None else snapshot.held or "nothing"
            return f"graded {state.grade}, but a snapshot was taken while {held} was held"
    return ""


def _together(cloud: Cloud) -> str:
    if cloud.stored is None:
        return ""
    captures = any(job.begun.held for job in cloud.jobs)
    return wrong_in_a_group(cloud.stored.state, cloud.others, captures=captures)


def _required(state: SagaState) -> str:
    less = state.recovery_point and state.grade is not Grade.APPLICATION
    return f"graded {state.grade}, and kept" if less and state.spec.guest.application_required else ""


def _rehearsed(cloud: Cloud) -> str:
    if cloud.jobs or cloud.snapshots:
        return "a rehearsal has snapshots made"
    state = cloud.stored.state if cloud.stored else None
    if state is not None and (state.grade is not None or state.recovery_point or state.discard):
        return "a rehearsal has a grade, or snapshots"
    return ""


def _scripts(guest: Guest) -> str:
    for hook in guest.hooks:
        if hook.wrong:
            return hook.wrong
        if hook.posts and not hook.pre_began:
            return "the post-script ran, but the pre-script had not begun"
    return ""


def at_the_end(worlds: Worlds, world: World) -> Violation | None:
    """Look at a world in which nothing happens any more unless something goes wrong."""
    cloud, guest = worlds.clouds.value(world.cloud), worlds.guests.value(world.guest)
    record = cloud.stored
    if record is None or record.state.phase is not Phase.DONE:
        return Violation(6, "nothing can happen any more, and the saga is not done")
    if not cloud.recorded:
        return Violation(4, "the saga is done, and the run was never told")
    wrong = _left_in_azure(cloud, record.state)
    if wrong:
        return Violation(4, wrong)
    if record.state.outcome not in _WELL and record.state.trouble is None:
        return Violation(4, "a saga that did not end well cannot say what went wrong")
    wrong = wrong_at_the_end(record.state, cloud.others) if worlds.scene.group else ""
    if wrong and _no_crash(worlds, world):
        return Violation(9, wrong)
    if cloud.place[0] and _no_crash(worlds, world):
        return Violation(7, "all is over, and nobody gave up its place")
    wrong = _as_asked(worlds, world, record.state)
    if wrong:
        return Violation(4, wrong)
    return _left_in_the_guest(guest, scripts=worlds.scene.guest.post_script is not None)


def _left_in_azure(cloud: Cloud, state: SagaState) -> str:
    kept = {copy.snapshot_id for copy in state.recovery_point}
    kept |= {copy.snapshot_id for copy in state.copies if not copy.error}
    given_up = {copy.snapshot_id for copy in state.copies if copy.error not in ("", COPY_FAILED)}
    there = {snapshot.name for snapshot in cloud.snapshots} - given_up  # which may be there or not
    if there != kept:
        names = sorted(name.rpartition("/")[2] for name in there ^ kept)
        return f"neither recorded nor deleted, or recorded and gone: {', '.join(names)}"
    if any(snapshot.state != SUCCEEDED for snapshot in cloud.snapshots):
        return "a snapshot is recorded that never succeeded"
    return "a run command is left in the VM" if cloud.run_commands else ""


def _no_crash(worlds: Worlds, world: World) -> bool:
    """Whether no host and no process died on the way; else a lease may be all that gives up a place."""
    return worlds.budgets.value(world.budget).crash == worlds.budgets.value(worlds.first.budget).crash


def _as_asked(worlds: Worlds, world: World, state: SagaState) -> str:
    """Without a single fault a saga comes to what was asked for."""
    if world.budget != worlds.first.budget:
        return ""
    asked = len(DISKS) * len(worlds.scene.snapshots.copy_to)
    if len([copy for copy in state.copies if copy.completion_percent >= 100]) != asked:
        return "without any fault a copy in another region is missing"
    if state.outcome is (Outcome.REHEARSED if worlds.scene.rehearsal else Outcome.SUCCEEDED):
        return ""
    return f"without any fault the saga ended as {state.outcome}"


def _left_in_the_guest(guest: Guest, *, scripts: bool) -> Violation | None:
    """A guest in which the last of our processes died at it, and is not started again, is nobody's fault."""
    if guest.forsaken:
        return None
    if guest.frozen is not None:
        return Violation(1, "the guest is held for ever")
    if guest.alive and guest.state.attempt is not None:
        return Violation(6, "the agent waits for something that never comes")
    if scripts and any(hook.pre_began and not hook.posts for hook in guest.hooks):
        return Violation(3, "the pre-script began, and the post-script never ran")
    return None
