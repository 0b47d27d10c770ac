"""The timing pass: sagas and straight-line passes over one VM, in turns, with no tap that would cost time.

Every round makes one of each kind, each round beginning with another, so that what else the machine does
meanwhile falls on all alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.floor import LOOPBACK, STORAGE, Floor, floor
from bench.guest_times import AgentLog
from bench.sagas import run_to_end, views
from bench.stages import AppTimes, stages
from local.arm.settings import SimSettings
from local.stack.stack import Stack, StackOptions, application_scripts, real_disks, running
from local.world.specs import three_disk_guest

VM = "ledger-01"

SAGA, BARE, QUEUED = "saga", "straight", "straight-queued"
KINDS = (SAGA, BARE, QUEUED)
_LINES = {BARE: LOOPBACK, QUEUED: STORAGE}

#: Azure's own 7 snapshots of a disk in five minutes would stretch the bench over an hour.
UNLIMITED = SimSettings(snapshots_per_window=1_000_000, snapshots_per_disk=1_000_000)

#: The ledger's threads; two write enough to have something to hold, and leave the cores to what is measured.
CLIENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One freeze. ``window_ms`` is the guest's own, by its monotonic clock; ``stages`` are in ms."""

    kind: str
    window_ms: int
    stages: dict[str, int]


def quiesce_settings(stack: Stack, vm: str) -> dict[str, Any]:
    """Give what a run request says of a guest that runs the ledger."""
    return {
        "attempts": 1,
        "filesystems": "all" if real_disks() else "none",
        "on_guest_failure": "fail" if real_disks() else "continue",
        **application_scripts(stack.guests, vm),
    }


async def time_sagas(count: int, *, warm_up: int, progress: Callable[[str], None]) -> list[Sample]:
    """Make ``count`` freezes of each kind after ``warm_up`` that are not counted.

    Raises:
        SagaFailedError, FloorError: one did not go well.
        TooSlowError: one did not end.
    """
    samples = []
    async with running(StackOptions(sim=UNLIMITED)) as stack:
        await stack.add_vm(three_disk_guest(VM, stack.places.mounts, clients=CLIENTS))
        async with floor(stack.arm_url, stack.storage.connection_string) as straight:
            timer = _Timer(stack, straight)
            for number in range(-warm_up, count):
                turn = number % len(KINDS)
                for kind in (*KINDS[turn:], *KINDS[:turn]):
                    sample = await timer.freeze(kind)
                    if number >= 0:
                        samples.append(sample)
                progress(f"timing: round {number + 1} of {count}, freeze windows {_latest(samples)}")
    return samples


def _latest(samples: Sequence[Sample]) -> str:
    return ", ".join(f"{sample.kind} {sample.window_ms} ms" for sample in samples[-len(KINDS) :])


class _Timer:
    """Freezes the one VM of a stack in one way or the other."""

    def __init__(self, stack: Stack, straight: Floor) -> None:
        self._stack = stack
        self._straight = straight
        self._log = AgentLog(stack.guests.get(VM).agent_state / "agent.log")

    async def freeze(self, kind: str) -> Sample:
        self._log.mark()
        window_ms, app = await (self._by_saga() if kind == SAGA else self._in_line(kind))
        return Sample(kind=kind, window_ms=window_ms, stages=stages(self._log.since_mark(), app))

    async def _by_saga(self) -> tuple[int, AppTimes]:
        run_id = await run_to_end(self._stack, [VM], quiesce_settings(self._stack, VM))
        (view,) = await views(self._stack, run_id, [VM])
        await self._stack.delete_recovery_points([view])
        return view["freeze_window_ms"], app_times(view)

    async def _in_line(self, kind: str) -> tuple[int, AppTimes]:
        done = await self._straight.run(_LINES[kind], self._stack.vm_id(VM), self._order())
        times = AppTimes(
            taken_at=done.taken_at,
            first_put_at=done.first_put_at,
            last_copied_at=done.last_copied_at,
            last_seen_at=done.last_seen_at,
        )
        return done.window_ms, times

    def _order(self) -> dict[str, Any]:
        """Give the body of the quiesce command that a saga with these settings sends."""
        settings = quiesce_settings(self._stack, VM)
        scripts = {name: {**settings[name], "timeout_ms": 10_000} for name in ("pre_script", "post_script")}
        return {
            "quiesce_timeout_ms": 20_000,
            "freeze_budget_ms": 30_000,
            "filesystems": settings["filesystems"],
            **scripts,
        }


def app_times(view: Mapping[str, Any]) -> AppTimes:
    """Read a saga's evidence."""
    evidence = view["evidence"]
    captures = evidence["captures"]
    return AppTimes(
        taken_at=evidence["quiesced_at"],
        first_put_at=min(capture["put_sent_at"] for capture in captures),
        last_copied_at=max(capture["time_created"] for capture in captures),
        last_seen_at=max(capture["succeeded_seen_at"] for capture in captures),
    )
