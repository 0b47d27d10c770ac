"""What the end-to-end tests share: a VM on a running stack, and the look at both from outside."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueServiceClient

from local.guests.control import ControlError, ask
from local.stack.api import ApiError
from local.stack.stack import SCRIPTS, Stack, real_disks
from local.stack.waiting import TooSlowError, ticks, until
from local.world.frozen import is_frozen
from local.world.guest import Guest, processes_of
from local.world.specs import GuestDisk, GuestSpec, three_disk_guest

#: Generous, for loaded machines: nothing waits this long unless something is wrong.
RUN_WITHIN_S = 120.0
SOON_S = 30.0

#: What the promise of the freeze budget may be exceeded by: the dead-man's release and a busy scheduler.
BUDGET_MARGIN_MS = 2_000

#: Best outcome and grade with the ledger's scripts: without real disks no filesystem can be held.
BEST = ("succeeded", "application" if real_disks() else "crash")

#: A guest that is given up soon: nothing of it may take minutes when something was lost.
QUICK = {"freeze_budget_ms": 6_000, "quiesce_timeout_ms": 5_000, "resume_timeout_ms": 5_000}


#: What must not be taken for a message on any queue of the app.
NO_MESSAGES = (
    "no JSON",
    "[]",
    "{}",
    '{"task": "dance", "run": "r"}',
    '{"run": "nobody", "saga": "nobody", "vm": "nobody", "watch": "soon"}',
    '{"run": "nobody", "saga": "nobody", "vm": "nobody", "watch": 3}',
    '{"run": "nobody", "saga": "nobody", "vm": "nobody"}',
    '{"task": "fan-out", "run": "nobody"}',
    '{"task": "cancel", "run": "no/such\\\\key?#"}',
    '{"stillframe": 1, "kind": "ready"}',
    '{"stillframe": 9, "kind": "ready", "id": "x"}',
    "[" * 20_000,
)


@dataclass(frozen=True)
class Machine:
    """A VM of a stack under test. ``trace`` is where its scripts write a line each time they run."""

    stack: Stack
    spec: GuestSpec

    @property
    def name(self) -> str:
        return self.spec.vm_name

    @property
    def id(self) -> str:
        return self.stack.vm_id(self.name)

    @property
    def guest(self) -> Guest:
        return self.stack.guests.get(self.name)

    @property
    def trace(self) -> Path:
        return self.guest.runtime / "trace"

    def script(self, name: str, *lines: str) -> str:
        """Write a script that notes phase and generation in the guest it runs in, then does ``lines``."""
        path = self.guest.runtime / name
        note = 'echo "$STILLFRAME_PHASE $STILLFRAME_GENERATION" >> "$STILLFRAME_STATE_DIR/../trace"'
        path.write_text("\n".join(["#!/bin/sh", "set -eu", note, *lines, ""]))
        path.chmod(0o700)
        return str(path)

    def hook(self, phase: str, *more: str) -> str:
        """Write the pre- or post-script of what runs here, which notes that it ran, then does ``more``."""
        ledger = [f"{SCRIPTS}/{phase}-application.sh {self.guest.socket}"] if self.spec.application else []
        return self.script(f"{phase}{len(more)}.sh", *ledger, *more)

    def guest_processing(self, **settings: Any) -> dict[str, Any]:
        """Give settings that hold application and filesystems; without real disks no filesystem, and once."""
        scripts: dict[str, Any] = {
            "pre_script": {"path": self.hook("pre")},
            "post_script": {"path": self.hook("post"), "timeout_ms": 4_000},
        }
        without_disks = {"filesystems": "none", "on_guest_failure": "continue", "attempts": 1}
        chosen = scripts | ({} if real_disks() else without_disks) | settings
        return {name: value for name, value in chosen.items() if value is not None}

    async def start_run(self, guest_processing: Mapping[str, Any] | None = None, **more: Any) -> str:
        guest = self.guest_processing() if guest_processing is None else guest_processing
        return await self.stack.api.start_run({"vms": [self.id], "guest_processing": guest, **more})

    async def view(self, run_id: str) -> dict[str, Any]:
        return await self.stack.api.vm(run_id, self.name)

    async def until_phase(self, run_id: str, *phases: str) -> dict[str, Any]:
        async for _ in ticks(SOON_S, f"{self.name} in {phases}", pause_s=0.02):
            view = await self.view(run_id)
            if view["phase"] in phases:
                return view
        raise AssertionError

    async def ended(self, run_id: str, within_s: float = RUN_WITHIN_S) -> dict[str, Any]:
        async for _ in ticks(within_s, f"the end of {self.name} in run {run_id}"):
            with contextlib.suppress(OSError):  # the host may just be down
                view = await self.view(run_id)
                if view["phase"] == "done":
                    return view
        raise AssertionError

    async def run_to_end(
        self, guest_processing: Mapping[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        return await self.ended(await self.start_run(guest_processing, **more))

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(ask, str(self.guest.socket), "status", 5.0)

    async def writes(self) -> bool:
        """Whether the ledger makes transfers: it is looked at twice."""
        before = await self.status()
        async for _ in ticks(SOON_S, f"a transfer of {self.name}", pause_s=0.02):
            after = await self.status()
            if after["held"] or after["transfers"] > before["transfers"]:
                return not after["held"]
        raise AssertionError

    async def until_writing(self, within_s: float = SOON_S) -> None:
        async def writing() -> bool:
            return not (await self.status())["held"] and await self.writes()

        await until(writing, within_s=within_s, what=f"{self.name} goes on")

    async def until_held(self) -> None:
        async def held() -> bool:
            return bool((await self.status())["held"])

        await until(held, within_s=SOON_S, what=f"{self.name} held")

    async def frozen(self) -> list[str]:
        if not real_disks():
            return []
        mounts = [disk.mount_point for disk in self.spec.disks]
        found = await asyncio.gather(*(asyncio.to_thread(is_frozen, mount) for mount in mounts))
        return [str(mount) for mount, is_so in zip(mounts, found, strict=True) if is_so]

    def lines(self) -> list[str]:
        """Give what the scripts have noted: phase and generation of each execution."""
        return self.trace.read_text().split("\n")[:-1] if self.trace.exists() else []

    def assert_hooks_in_pairs(self) -> None:
        """Check that pre- and post-script ran once in each generation that began, in this order."""
        generations = list(dict.fromkeys(line.split()[1] for line in self.lines()))
        assert self.lines() == [f"{hook} {each}" for each in generations for hook in ("pre", "post")]

    def snapshots(self) -> set[str]:
        """Give the ids of all snapshots that Azure has of this VM's disks, and of its restore points."""
        mine = {disk.name for disk in self.spec.disks}
        resources = self.stack.world.resources
        points = {
            str(each.id).lower()
            for each in resources.restore_points.values()
            if each.vm.spec.name == self.name
        }
        found = resources.snapshots.values()
        return points | {str(each.id).lower() for each in found if each.disk.spec.name in mine}

    def run_commands(self) -> int:
        commands = self.stack.world.resources.run_commands.values()
        return sum(1 for command in commands if command.vm.spec.name == self.name)

    def has_process(self, word: bytes) -> bool:
        """Whether a process with this word in its command line runs in this guest."""
        for pid in processes_of(self.guest):
            with contextlib.suppress(OSError):
                if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
        return False

    def has_agent(self) -> bool:
        """Whether the agent or its dead-man runs in this guest."""
        return self.has_process(b"agent.pyz")

    async def assert_at_rest(self, *views: Mapping[str, Any]) -> None:
        """Check from outside that the VM goes on and that only the recovery points of ``views`` are left."""
        for view in views:
            assert view["phase"] == "done", view
            assert windows_within_budget(view), windows(view)
        if self.spec.application and self.stack.guests.is_running(self.name):
            assert await self.writes()
        assert await self.frozen() == []
        kept = {resource_id.lower() for view in views for resource_id in kept_ids(view)}

        async def only_what_is_kept() -> bool:  # deletions are accepted first and done later
            return self.snapshots() == kept and self.run_commands() == 0

        await until(only_what_is_kept, within_s=SOON_S, what=f"{self.name}: only {kept} left in Azure")
        assert await left_in_poison_queues(self.stack) == {}

    async def assert_grade_is_true(self, view: Mapping[str, Any]) -> None:
        """Restore the recovery point, and let its application check itself."""
        verdict = await self.stack.restore(self.spec, kept_ids(view))
        assert verdict.whole, verdict.reason


async def ledger_vm(stack: Stack, name: str) -> Machine:
    """Add a VM with three disks and a ledger that one client writes to."""
    spec = three_disk_guest(name, stack.places.mounts, clients=1)
    await stack.add_vm(spec)
    return Machine(stack, spec)


@contextlib.asynccontextmanager
async def ledger(stack: Stack, name: str) -> AsyncIterator[Machine]:
    """Give a VM with a ledger, and hold it in the end: a ledger that nobody looks at costs processor time."""
    machine = await ledger_vm(stack, name)
    try:
        yield machine
    finally:
        with contextlib.suppress(ControlError):
            await asyncio.to_thread(ask, str(machine.guest.socket), "hold", 5.0)


async def plain_vm(stack: Stack, name: str, *, data_disks: int = 1, power: str = "running") -> Machine:
    """Add a VM in which nothing runs: a system disk and some data disks."""
    roles: list[tuple[str, int | None]] = [("os", None), *((f"data{lun}", lun) for lun in range(data_disks))]
    disks = tuple(
        GuestDisk(f"{name}-{role}", lun, 16, stack.places.mounts / name / role) for role, lun in roles
    )
    spec = GuestSpec(name, disks, application=None)
    await stack.add_vm(spec, power=power)
    return Machine(stack, spec)


async def assert_all_agents_leave(*machines: Machine) -> None:
    """Wait until no agent is left: each stays a while to answer repeated commands."""

    async def gone() -> bool:
        return not any(machine.has_agent() for machine in machines)

    await until(gone, within_s=RUN_WITHIN_S, what="the agents leave")


def machines_of(stack: Stack) -> list[Machine]:
    """Give all VMs that the tests of a module have made."""
    names = [vm.spec.name for vm in stack.world.resources.vms.values()]
    return [Machine(stack, stack.guests.get(name).spec) for name in names]


def kept_ids(view: Mapping[str, Any]) -> list[str]:
    """Give the ids of what makes the recovery point: snapshots, or a restore point."""
    return [point.get("snapshot") or point["restore_point"] for point in view["recovery_point"]]


def windows(view: Mapping[str, Any]) -> list[int]:
    """Give the freeze windows of all generations (ms), by the guest's own clock."""
    return [
        entry["detail"]["report"]["window_ms"] for entry in view["history"] if entry["event"] == "Resumed"
    ]


def windows_within_budget(view: Mapping[str, Any]) -> bool:
    budget = view["guest_processing"]["freeze_budget_ms"]
    return all(window <= budget + BUDGET_MARGIN_MS for window in windows(view))


def events(view: Mapping[str, Any]) -> list[str]:
    return [entry["event"] for entry in view["history"]]


def outcome(view: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return view["outcome"], view["grade"]


async def left_in_poison_queues(stack: Stack) -> dict[str, int]:
    """Count the messages in poison queues, by queue, after those that are being processed have left."""
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        left: dict[str, int] = {}
        with contextlib.suppress(TooSlowError):  # then these are left
            async for _ in ticks(SOON_S, "the emptying of poison queues", pause_s=0.2):
                left = {}
                async for queue in service.list_queues():
                    if queue.name.endswith("-poison") and (count := await _count(service, queue.name)):
                        left[queue.name] = count
                if not left:
                    break
        return left


async def _count(service: QueueServiceClient, queue: str) -> int:
    try:
        properties = await service.get_queue_client(queue).get_queue_properties()
    except ResourceNotFoundError:
        return 0
    return properties.approximate_message_count or 0


async def put(stack: Stack, queue: str, text: str, *, raw: bool = False) -> None:
    """Put a message into a queue, as the app encodes it, or raw."""
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        client = service.get_queue_client(queue)
        await client.send_message(text if raw else base64.b64encode(text.encode()).decode())


async def invoke(stack: Stack, function: str) -> None:
    """Call a function by the host's admin API, as an operator does."""
    await stack.api.call("POST", f"/admin/functions/{function}", {"input": ""})


async def problem(stack: Stack, body: Any, key: str = "") -> ApiError:
    """Start a run that must be refused; give the refusal."""
    try:
        run_id = await stack.api.start_run(body, key)
    except ApiError as refused:
        return refused
    raise AssertionError(f"accepted as run {run_id}: {json.dumps(body)[:300]}")
