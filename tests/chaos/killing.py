"""Processes that end with SIGKILL: the app's host, the agent, the dead-man, the storage."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from local.stack.waiting import TooSlowError
from local.world.guest import processes_of
from tests.chaos import killing_host as host
from tests.chaos.arena import Arena, Kind
from tests.chaos.trouble import Fault, Trouble, until_moment
from tests.e2e.scene import Machine

#: How often, at most, a round of two VMs without another fault comes to each point.
_TIMES = {
    host.LOADED: 12,
    host.DECIDED: 10,
    host.SAVED: 10,
    host.BETWEEN_EFFECTS: 14,
    host.CAPTURING: 2,
    host.CARRIED_OUT: 12,
    host.BEFORE_DELETE: 6,
    host.AFTER_DELETE: 5,
    host.GROUP_SAVED: 8,
    host.GROUP_TOLD: 8,
}


@dataclass(kw_only=True)
class HostKilled(Trouble):
    """The host dies at the ``nth`` time at a point; the platform has a new one ``pause_ms`` later."""

    point: str
    nth: int
    after_ms: int
    pause_ms: int

    async def before(self, arena: Arena) -> None:
        arena.plan_kill(self.point, self.nth, self.after_ms)
        arena.pause_s = self.pause_ms / 1000

    async def after(self, arena: Arena) -> None:
        self.happened = arena.was_killed
        arena.cancel_kill()


def _host_killed(point: str, random: Random) -> HostKilled:
    nth = random.randint(1, _TIMES[point])
    after_ms = random.randrange(700) if point == host.CAPTURING else 0
    pause_ms = random.choice((0, 0, 1_000, 7_000))
    text = f"time {nth} at '{point}' +{after_ms} ms, back after {pause_ms} ms"
    return HostKilled(text=text, point=point, nth=nth, after_ms=after_ms, pause_ms=pause_ms)


@dataclass(kw_only=True)
class GuestProcessKilled(Trouble):
    """The processes of an agent that have a role (``run``: the agent's own) are killed at a moment."""

    ends_scripts = True
    role: str
    which: int
    moment: str
    after_ms: int

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        machine = arena.machines[self.which]
        with contextlib.suppress(TooSlowError):
            await until_moment(arena, machine, self.moment, self.after_ms)
            for pid in with_role(machine, self.role):
                os.kill(pid, signal.SIGKILL)
                self.happened = True


def with_role(machine: Machine, role: str) -> Iterator[int]:
    """Give the processes of a guest's agent that have a role."""
    for pid in processes_of(machine.guest):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"agent.pyz") for word in words) and role.encode() in words:
                yield pid


def _guest_process_killed(role: str, random: Random) -> GuestProcessKilled:
    which = random.randrange(2)
    moment = random.choice(("armed", "quiescing", "held", "capturing", "resuming"))
    after_ms = random.randrange(300)
    text = f"{('ledger', 'plain')[which]}, {moment} +{after_ms} ms"
    return GuestProcessKilled(text=text, role=role, which=which, moment=moment, after_ms=after_ms)


@dataclass(kw_only=True)
class StorageKilled(Trouble):
    """The storage dies, and is back ``pause_ms`` later with what it had written.

    Azure acknowledges only what is durable; Azurite writes every 5 s. So it is killed when all that counts
    is in its folder: as the run is asked for, or while the pre-scripts wait for the round to open a gate.
    """

    while_held: bool
    pause_ms: int

    def settings(self, machine: Machine) -> Mapping[str, Any]:
        if not self.while_held:
            return {}
        gate = machine.guest.runtime / "gate"
        pre = machine.hook("pre", f"while [ ! -e {gate} ]; do sleep 0.05; done")
        long = {"freeze_budget_ms": 30_000, "quiesce_timeout_ms": 29_000}
        return {"pre_script": {"path": pre, "timeout_ms": 29_000}, **long}

    async def before(self, arena: Arena) -> None:
        for machine in arena.machines:
            (machine.guest.runtime / "gate").unlink(missing_ok=True)
        await arena.until_written()  # also the end of the round before

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        if self.while_held:
            for machine in arena.machines:
                await until_moment(arena, machine, "quiescing")
            await arena.until_written()
        arena.stack.storage.kill()
        self.happened = True
        await asyncio.sleep(self.pause_ms / 1000)
        await arena.restart_storage()
        self._open(arena)

    async def after(self, arena: Arena) -> None:
        if arena.stack.storage.process.poll() is not None:
            await arena.restart_storage()
        self._open(arena)

    def _open(self, arena: Arena) -> None:
        for machine in arena.machines:
            (machine.guest.runtime / "gate").touch()


def _storage_killed(random: Random) -> StorageKilled:
    while_held = random.random() < 0.7
    pause_ms = random.randrange(4_000)
    text = (
        f"{'while guests are held' if while_held else 'while a run is asked for'}, back after {pause_ms} ms"
    )
    return StorageKilled(text=text, while_held=while_held, pause_ms=pause_ms)


@dataclass(kw_only=True)
class TwoHosts(Trouble):
    """Two hosts work on the same queues; one may die at a point, and the other one goes on alone."""

    kill: HostKilled | None

    async def before(self, arena: Arena) -> None:
        await arena.another_host()
        self.happened = True
        if self.kill:
            await self.kill.before(arena)

    async def after(self, arena: Arena) -> None:
        if self.kill:
            await self.kill.after(arena)
        await arena.stop_others()


def _two_hosts(random: Random) -> TwoHosts:
    kill = _host_killed(random.choice(host.POINTS), random) if random.random() < 0.5 else None
    return TwoHosts(text=f"one dies: {kill.text}" if kill else "both live", kill=kill)


def _patient_host_killed(random: Random) -> HostKilled:
    return _host_killed(random.choice(host.POINTS), random)


def _at(point: str) -> Fault:
    return Fault(
        f"host killed: {point}",
        lambda random: _host_killed(point, random),
        goes_with_others=False,
        for_groups=point in host.GROUP_POINTS,
    )


FAULTS = (
    *(_at(point) for point in (*host.POINTS, *host.GROUP_POINTS)),
    Fault("host killed, hidden 10 min", _patient_host_killed, Kind.PATIENT, goes_with_others=False),
    Fault("two hosts", _two_hosts, goes_with_others=False),
    Fault("agent killed", lambda random: _guest_process_killed("run", random)),
    Fault("dead-man killed", lambda random: _guest_process_killed("dead-man", random)),
    Fault("storage killed", _storage_killed, Kind.DURABLE, goes_with_others=False),
)
