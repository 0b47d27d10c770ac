"""One round: troubles, a run over the VMs of an arena, and what is there afterwards."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from local.guests.control import ControlError
from local.stack.api import ApiError
from local.stack.waiting import TooSlowError, ticks
from tests.chaos.arena import SETTINGS, Arena
from tests.chaos.choosing import Chosen
from tests.chaos.invariants import Look, Violation, violations
from tests.e2e.scene import Machine

_ENDED_WITHIN_S = 120.0
_SHOWN_WITHIN_S = 20.0
#: How often the run is looked at, which costs the app something, and the application, which does not.
_LOOK_S = 0.7
_SAMPLE_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a round. ``happened`` says of each fault whether it did anything at all."""

    number: int
    text: str
    faults: tuple[str, ...]
    happened: tuple[bool, ...]
    outcomes: tuple[str, ...]
    grades: tuple[str, ...]
    reasons: tuple[str, ...]
    seconds: float
    violations: tuple[Violation, ...]
    history: tuple[str, ...] = ()
    log: str = ""

    @classmethod
    def broken(cls, chosen: Chosen, error: str) -> Self:
        """Give the result of a round that did not come to its end."""
        return cls(
            number=chosen.number,
            text=chosen.text,
            faults=tuple(fault.name for fault in chosen.faults),
            happened=tuple(trouble.happened for trouble in chosen.troubles),
            outcomes=(),
            grades=(),
            reasons=(),
            seconds=0.0,
            violations=(Violation("the round itself", error),),
        )


@dataclass
class Watcher:
    """Sees from outside how long the application of a VM is held at a stretch."""

    machine: Machine
    longest_ms: int = 0
    _since: float | None = field(default=None)

    async def watch(self) -> None:
        while True:
            with contextlib.suppress(ControlError):
                held = bool((await self.machine.status())["held"])
                now = time.monotonic()
                if not held:
                    self._since = None
                elif self._since is None:
                    self._since = now
                else:
                    self.longest_ms = max(self.longest_ms, int((now - self._since) * 1000))
            await asyncio.sleep(_SAMPLE_S)


async def do_round(arena: Arena, chosen: Chosen) -> Result:
    """Do a round and look at what it left; the arena is as before unless something was violated."""
    began = time.monotonic()
    arena.rounds += 1
    arena.clear()
    arena.witness.looks = bool(chosen.group)
    await arena.order("go-on")
    logs, watcher = _Logs(arena), Watcher(arena.machines[0])
    watching = [asyncio.create_task(watcher.watch())]
    run_id, views, problems = await _under_fire(arena, chosen)
    look = Look(
        arena=arena,
        run_id=run_id,
        views=views,
        longest_held_ms=watcher.longest_ms,
        log=logs.read(),
        scripts_ended=any(trouble.happened and trouble.ends_scripts for trouble in chosen.troubles),
    )
    problems += await violations(look)
    problems += [Violation("the round itself", repr(error)) for error in await _cancelled(watching)]
    if not problems:
        await arena.delete_snapshots()
    return Result(
        number=chosen.number,
        text=chosen.text,
        faults=tuple(fault.name for fault in chosen.faults),
        happened=tuple(trouble.happened for trouble in chosen.troubles),
        outcomes=tuple(str(view.get("outcome")) for view in views.values()),
        grades=tuple(str(view.get("grade") or "none") for view in views.values()),
        reasons=tuple(_why_not_well(views)),
        seconds=time.monotonic() - began,
        violations=tuple(problems),
        history=tuple(_told(views)) if problems else (),
        log=logs.read() if problems else "",
    )


async def _under_fire(
    arena: Arena, chosen: Chosen
) -> tuple[str, dict[str, Mapping[str, Any]], list[Violation]]:
    """Let a run go on amid the troubles, and take these back; give its id, its views, and what went wrong."""
    run: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    views: dict[str, Mapping[str, Any]] = {}
    problems: list[Violation] = []
    for trouble in chosen.troubles:
        await trouble.before(arena)
    tasks = [asyncio.create_task(trouble.during(arena, run)) for trouble in chosen.troubles]
    try:
        run.set_result(await arena.start_run(_settings(arena, chosen), chosen.group))
        views = await _ended(arena, run.result())
    except (TooSlowError, ApiError) as error:
        problems.append(Violation("every saga has ended", str(error)))
    finally:
        problems += [Violation("the trouble itself", repr(error)) for error in await _cancelled(tasks)]
        for trouble in chosen.troubles:
            await trouble.after(arena)
    return run.result() if run.done() else "", views, problems


def _settings(arena: Arena, chosen: Chosen) -> dict[str, Any]:
    """Give the settings of the run: each VM has scripts of its own, so each has an override."""
    common = {**SETTINGS, "attempts": chosen.attempts, "on_guest_failure": chosen.on_guest_failure}
    overrides = []
    for machine in arena.machines:
        own = machine.guest_processing()
        for trouble in chosen.troubles:
            own |= trouble.settings(machine)
        overrides.append({"vms": [machine.id], "guest_processing": own})
    return {**common, "overrides": overrides}


async def _ended(
    arena: Arena, run_id: str, within_s: float = _ENDED_WITHIN_S
) -> dict[str, Mapping[str, Any]]:
    """Wait until all sagas have ended; give their views, or those that there are when the time is over."""
    with contextlib.suppress(TooSlowError):
        async for _ in ticks(within_s, "the end of all sagas", pause_s=_LOOK_S):
            run = await arena.run(run_id)
            if run and all(entry["phase"] == "done" for entry in run["vms"]):
                break
    views: dict[str, Mapping[str, Any]] = {}
    with contextlib.suppress(TooSlowError):
        async for _ in ticks(_SHOWN_WITHIN_S, "the views", pause_s=_LOOK_S):
            found = {each.name: await arena.view(run_id, each) for each in arena.machines}
            views = {name: view for name, view in found.items() if view}
            if len(views) == len(arena.machines):
                break
    return views


async def _cancelled(tasks: list[asyncio.Task[None]]) -> list[BaseException]:
    """Cancel tasks; give the errors of those that had failed."""
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return [end for end in ends if isinstance(end, Exception)]


class _Logs:
    """What host and agents have written since a round began."""

    def __init__(self, arena: Arena) -> None:
        guests = [machine.guest.agent_state / "agent.log" for machine in arena.machines]
        logs = (arena.stack.host.log, arena.other_log, *guests)
        self._from = {path: _size(path) for path in logs}

    def read(self) -> str:
        return "\n".join(_rest(path, start) for path, start in self._from.items())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _rest(path: Path, start: int) -> str:
    if not path.exists():
        return ""
    if path.stat().st_size < start:  # begun anew meanwhile
        start = 0
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _why_not_well(views: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, view in views.items():
        if view.get("outcome") != "succeeded":
            yield f"{name}: {'; '.join(view.get('reasons', ()))}"


def _told(views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, view in views.items():
        ended = f"{view.get('outcome')}, grade {view.get('grade')}"
        lines.append(f"{name}: saga {view['saga']}, {view['phase']}, {ended}")
        lines += [f"  reason: {reason}" for reason in view.get("reasons", ())]
        lines += [
            f"  {entry['at']} g{entry['generation']} {entry['from']} -> {entry['to']}"
            f" by {entry['event']}, then {', '.join(entry['effects'])}"
            for entry in view["history"]
        ]
    return lines
