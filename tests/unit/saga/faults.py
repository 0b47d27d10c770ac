"""What can go wrong in the simulated world, each by a name for people."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.saga.events import CancelRequested, Poisoned
from shared.saga.evidence import GuestWarning
from tests.unit.saga.world import Job, World

PAUSE_MS = 6_000


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that may happen where ``possible`` says that it means anything."""

    possible: Callable[[World], Any]
    happen: Callable[[World], None]


def _always(_world: World) -> bool:
    return True


def _outbox(world: World) -> Any:
    return world.outbox


def _inbox(world: World) -> Any:
    return world.inbox


def _commands(world: World) -> Any:
    return world.commands


def _watches(world: World) -> Any:
    return world.watches


def _jobs(world: World) -> Any:
    return world.jobs


def _restore_point(world: World) -> bool:
    return world.state.spec.snapshots.is_restore_point


def _agent(world: World) -> bool:
    return world.guest.alive


def _no_agent(world: World) -> Any:
    return world.agents_started and not world.guest.alive


def _hold(world: World) -> Any:
    return world.guest.hold


def _holding(world: World) -> bool:
    hold = world.guest.hold
    return hold is not None and not hold.complete and world.guest.alive


def _thaw(world: World) -> None:
    assert world.guest.hold is not None
    world.guest.hold.whole = False


def _pause(world: World) -> None:
    """Pause the VM for less than the grace that the saga leaves its dead-man."""
    world.guest.pause(PAUSE_MS)
    world.pass_time_to(world.now + PAUSE_MS)


def _not_paused_yet(world: World) -> bool:
    return world.guest.hold is not None and not world.guest.hold.paused


def _warn(world: World) -> None:
    world.guest.warnings = (GuestWarning("handler", "postgresql:5432", "probe_failed", "no answer"),)


def _restart(world: World) -> None:
    world.inbox.extend(world.guest.restart_agent())


def _kill_and_restart(world: World) -> None:
    world.guest.kill_agent(world.now)
    _restart(world)


def _let_go(released_by: str) -> Callable[[World], None]:
    return lambda world: world.inbox.extend(world.guest.dead_man_fires(world.now, released_by))


def _fail_to_hold(reason: str) -> Callable[[World], None]:
    return lambda world: world.inbox.extend(world.guest.fail(reason))


def _jobs_do(change: Callable[[Job], None]) -> Callable[[World], None]:
    def happen(world: World) -> None:
        for job in list(world.jobs):
            change(job)

    return happen


def _gated(world: World) -> bool:
    return world.state.spec.admission is not None and not world.admitted


def _no_room(times: int) -> Callable[[World], None]:
    return lambda world: setattr(world, "no_room", times)


def _fall_back(world: World) -> None:
    world.platform_reaches = "CrashConsistent"
    for job in world.jobs:
        job.reached = world.platform_reaches


def _kill(job: Job) -> None:
    job.lost = True


FAULTS: dict[str, Fault] = {
    "cancel": Fault(_always, lambda world: world.take(CancelRequested())),
    "poison": Fault(_always, lambda world: world.take(Poisoned("the step message"))),
    "the watch comes": Fault(_watches, lambda world: world.watch()),
    "the watch comes twice": Fault(_watches, lambda world: world.watch(again=True)),
    "the watch is lost": Fault(_watches, lambda world: world.lose_watch()),
    "the sweep comes": Fault(lambda world: world.overdue_at, lambda world: world.sweep()),
    "a second passes": Fault(_always, lambda world: world.pass_time_to(world.now + 1_000)),
    "half a minute passes": Fault(_always, lambda world: world.pass_time_to(world.now + 25_000)),
    "an effect is lost": Fault(_outbox, lambda world: world.lose_effect(0)),
    "an effect is done twice": Fault(_outbox, lambda world: world.carry_out(0, again=True)),
    "an effect is refused": Fault(_outbox, lambda world: world.carry_out(0, luck=3)),
    "an effect is refused for now": Fault(_outbox, lambda world: world.carry_out(0, luck=1)),
    "an effect half succeeds": Fault(_outbox, lambda world: world.carry_out(0, luck=2)),
    "the last effect is done first": Fault(_outbox, lambda world: world.carry_out(-1)),
    "a message is lost": Fault(_inbox, lambda world: world.lose_event(0)),
    "a message comes twice": Fault(_inbox, lambda world: world.deliver(0, again=True)),
    "the last message comes first": Fault(_inbox, lambda world: world.deliver(-1)),
    "a command is lost": Fault(_commands, lambda world: world.commands.clear()),
    "a command comes twice": Fault(_commands, lambda world: world.command(0, again=True)),
    "the last command comes first": Fault(_commands, lambda world: world.command(-1)),
    "the script fails": Fault(_holding, _fail_to_hold("script_failed")),
    "a freeze fails": Fault(_holding, _fail_to_hold("already_frozen")),
    "somebody thaws a mount": Fault(_hold, _thaw),
    "the dead-man fires": Fault(_hold, _let_go("dead-man")),
    "the agent lets go": Fault(_hold, _let_go("agent")),
    "there is no room": Fault(_gated, _no_room(1)),
    "there is no room for minutes": Fault(_gated, _no_room(100)),
    "the agent dies": Fault(_agent, lambda world: world.guest.kill_agent(world.now)),
    "the agent dies and restarts": Fault(_agent, _kill_and_restart),
    "the agent restarts": Fault(_no_agent, _restart),
    "the host pauses the VM": Fault(_not_paused_yet, _pause),
    "the guest warns": Fault(_agent, _warn),
    "the guest reboots": Fault(_agent, lambda world: world.guest.reboot()),
    "a snapshot fails": Fault(_jobs, _jobs_do(lambda job: job.failed.add(job.effect.disks[-1].disk_id))),
    "a snapshot comes late": Fault(_jobs, _jobs_do(lambda job: job.late.add(job.effect.disks[0].disk_id))),
    "the platform falls back": Fault(_restore_point, _fall_back),
    "the capture gives up": Fault(_jobs, lambda world: world.end_job(world.jobs[0])),
    "the capture is killed": Fault(_jobs, _jobs_do(_kill)),
}
