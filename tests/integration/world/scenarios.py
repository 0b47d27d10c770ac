"""What the tests let happen inside the sandbox: python scenarios.py NAME prints the outcome as JSON.

TEST_APPLICATION names what runs in the guest (default: the ledger), TEST_TRIES how often it is imaged.


A test that mounts anything runs as a process of its own in the sandbox, so that its failure cannot leave
mounts or frozen filesystems on the machine.
"""
# ruff: noqa: ASYNC240, T201  # alone in its process, where blocking is no harm; its result is what it prints

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from local.guests.control import ask
from local.world.disks import Disks, FolderDisks, ReflinkDisks
from local.world.frozen import freezing, is_frozen, thaw_everything
from local.world.guest import SCRIPTS, Guest, processes_of
from local.world.guest_shell import GuestShell
from local.world.guests import Guests
from local.world.places import Places, places
from local.world.restore import Verdict, restore_and_check
from local.world.specs import GuestSpec, guest_with

GAP_S = 0.3  # between two disks: nothing on Azure guarantees one instant across them
TRIES = int(os.environ.get("TEST_TRIES", "5"))
APPLICATION = os.environ.get("TEST_APPLICATION", "ledger")
VM = os.environ.get("TEST_VM", "vm1")

type Outcome = dict[str, object]


@dataclass(frozen=True)
class World:
    """One started guest and everything around it."""

    where: Places
    disks: Disks
    guests: Guests
    guest: Guest

    @property
    def spec(self) -> GuestSpec:
        return self.guest.spec

    @property
    def mount_points(self) -> list[Path]:
        return [disk.mount_point for disk in self.spec.disks]

    async def capture_all(self, mark: str) -> dict[str, str]:
        """Capture the disks one after the other, in LUN order."""
        taken = {}
        for number, disk in enumerate(self.spec.disks):
            if number:
                await asyncio.sleep(GAP_S)
            taken[disk.name] = f"{disk.name}-{mark}"
            await self.disks.capture(disk.name, taken[disk.name])
        return taken

    async def restore(self, taken: dict[str, str]) -> Verdict:
        verdict = await restore_and_check(self.disks, self.spec, taken)
        for snapshot in taken.values():
            await self.disks.discard(snapshot)
        return verdict

    async def script(self, name: str) -> int:
        """Run the pre- or post-script in the guest."""
        command = f"sh {SCRIPTS / name} {self.guest.socket}"
        return (await GuestShell(self.guests).run(VM, command, {})).exit_code


@contextlib.asynccontextmanager
async def world(*, real: bool = True) -> AsyncIterator[World]:
    with places() as where:
        disks = ReflinkDisks(where.store) if real else FolderDisks(where.store)
        guests = Guests(disks, where.runtime, agent=Path("agent.pyz"))
        try:
            guest = guests.add(guest_with(APPLICATION, VM, where.mounts))
            await guests.start(VM)
            yield World(where, disks, guests, guest)
        finally:
            await guests.close()
            disks.close()


async def unheld() -> Outcome:
    async with world() as it:
        return {"verdicts": [asdict(await it.restore(await it.capture_all(str(n)))) for n in range(TRIES)]}


async def held(*, real: bool = True) -> Outcome:
    async with world(real=real) as it:
        verdicts, codes = [], []
        for number in range(TRIES):
            codes.append(await it.script("pre-application.sh"))
            taken = await it.capture_all(str(number))
            codes.append(await it.script("post-application.sh"))
            verdicts.append(asdict(await it.restore(taken)))
        return {"verdicts": verdicts, "script_exit_codes": codes}


async def held_in_folders() -> Outcome:
    return await held(real=False)


async def frozen_together() -> Outcome:
    async with world() as it:
        verdicts = []
        for number in range(TRIES):
            with freezing(it.mount_points):
                taken = await it.capture_all(str(number))
            verdicts.append(asdict(await it.restore(taken)))
        return {"verdicts": verdicts}


async def frozen_one_by_one() -> Outcome:
    async with world() as it:
        verdicts = []
        for number in range(TRIES):
            taken = {}
            for disk in it.spec.disks:
                with freezing([disk.mount_point]):
                    taken[disk.name] = f"{disk.name}-{number}"
                    await it.disks.capture(disk.name, taken[disk.name])
                await asyncio.sleep(GAP_S)
            verdicts.append(asdict(await it.restore(taken)))
        return {"verdicts": verdicts}


async def live_guest_goes_on_during_a_restore() -> Outcome:
    async with world() as it:
        taken = await it.capture_all("1")
        before = status_of(it.guest)
        verdict = await it.restore(taken)
        after = status_of(it.guest)
        return {"before": before["transfers"], "after": after["transfers"], "reason": verdict.reason}


async def a_garbled_disk() -> Outcome:
    async with world() as it:
        await it.script("pre-application.sh")
        taken = await it.capture_all("1")
        victim = next(it.where.store.glob(f"store/snapshots/{VM}-accounts-1"))
        with victim.open("r+b") as image:
            image.write(os.urandom(64 * 1024))
        return asdict(await it.restore(taken))


async def the_kernel_is_asked() -> Outcome:
    async with world() as it:
        mount = it.mount_points[1]
        unfrozen = is_frozen(mount)
        names = sorted(mount.iterdir())
        with freezing([mount]):
            frozen, neighbour = is_frozen(mount), is_frozen(it.mount_points[2])
        first, second = thaw_everything([mount]), None
        with contextlib.ExitStack() as stack:
            stack.enter_context(freezing(it.mount_points))
            second = thaw_everything(it.mount_points)
        return {
            "before": unfrozen,
            "during": frozen,
            "neighbour": neighbour,
            "after": is_frozen(mount),
            "nothing_changed": names == sorted(mount.iterdir()),
            "thawed_when_not_frozen": len(first),
            "thawed_when_frozen": len(second),
        }


async def closing_while_frozen() -> Outcome:
    async with world() as it:
        stack = contextlib.ExitStack()
        stack.enter_context(freezing(it.mount_points))
        await until(lambda: float(str(status_of(it.guest)["last_write_age_ms"])) > 100)
        await it.guests.stop(VM)
        return {"running": it.guests.is_running(VM)}


async def agent_may_freeze() -> Outcome:
    async with world() as it:
        real = it.guests.agent_environment(VM)["STILLFRAME_MOUNTS"].split(os.pathsep)
        devices = {Path(mount).stat().st_dev for mount in real}
    async with world(real=False) as it:
        folders = it.guests.agent_environment(VM)["STILLFRAME_MOUNTS"]
    return {"real": len(real), "own_devices": Path("/").stat().st_dev not in devices, "folders": folders}


async def stopping_a_vm() -> Outcome:
    async with world() as it:
        left_behind = it.where.runtime / "left-behind"
        script = (
            f"setsid sh -c 'echo $$ > {left_behind}; exec sleep 1000' & echo hello; echo oops >&2; exit 4"
        )
        result = await GuestShell(it.guests).run(VM, script, {"MARK": "x"})
        await until(lambda: left_behind.exists() and left_behind.read_text().strip() != "")
        pid = int(left_behind.read_text())
        lived_on = Path(f"/proc/{pid}").exists()
        await it.guests.stop(VM)
        return {**asdict(result), "lived_on": lived_on, "alive_after_stop": Path(f"/proc/{pid}").exists()}


async def stopping_a_killed_application() -> Outcome:
    """Kill what started the server: the server goes on alone, and must end with its guest all the same."""
    async with world() as it:
        parents = [pid for pid in processes_of(it.guest) if "local.guests." in command_of(pid)]
        for pid in parents:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not any("local.guests." in command_of(pid) for pid in processes_of(it.guest)))
        before = bool(processes_of(it.guest))
        await it.guests.stop(VM)
        return {"before": before, "after": processes_of(it.guest)}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


async def a_pause_of_the_clients() -> Outcome:
    async with world() as it:
        paused = ask(str(it.guest.socket), "pause", 10)
        await it.capture_all("while-paused")
        later = ask(str(it.guest.socket), "status", 10)
        gone_on = ask(str(it.guest.socket), "go-on", 10)
        return {"paused": paused["transfers"], "later": later["transfers"], "gone_on": gone_on["transfers"]}


async def many_disks() -> Outcome:
    with places() as where:
        started = time.monotonic()
        disks = ReflinkDisks(where.store)
        for number in range(150):
            disks.create(f"disk{number}", 64, where.mounts / str(number))
        made = time.monotonic() - started
        await asyncio.gather(*(disks.capture(f"disk{n}", f"snapshot{n}") for n in range(150)))
        captured = time.monotonic() - started - made
        mounted = sum((where.mounts / str(number)).is_mount() for number in range(150))
        disks.close()
        closed = time.monotonic() - started - made - captured
        return {"mounted": mounted, "made_s": made, "captured_s": captured, "closed_s": closed}


async def freeze_and_wait_to_be_killed() -> Outcome:
    async with world() as it:
        stack = contextlib.ExitStack()
        stack.enter_context(freezing(it.mount_points))
        await until(lambda: float(str(status_of(it.guest)["last_write_age_ms"])) > 100)
        print(json.dumps({"store": str(it.where.store)}), flush=True)
        await asyncio.Event().wait()
        return {}


async def wait_for_the_end() -> Outcome:
    async with world() as it:
        signals: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, signals.append, number)
        print(json.dumps({"store": str(it.where.store)}), flush=True)
        await until(lambda: bool(signals), within_s=100)
    return {"ended": "orderly", "signals": signals}


async def ignore_the_end() -> Outcome:
    async with world() as it:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(json.dumps({"store": str(it.where.store)}), flush=True)
        await asyncio.Event().wait()
        return {}


def status_of(guest: Guest) -> dict[str, object]:
    command = [sys.executable, "-m", "local.guests.ledger", "status", "--socket", str(guest.socket)]
    answer: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


async def until(condition: Callable[[], bool], within_s: float = 30) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "the condition did not come true"
        await asyncio.sleep(0.02)


SCENARIOS: dict[str, Callable[[], Awaitable[Outcome]]] = {
    scenario.__name__: scenario
    for scenario in (
        unheld,
        held,
        held_in_folders,
        frozen_together,
        frozen_one_by_one,
        live_guest_goes_on_during_a_restore,
        a_garbled_disk,
        the_kernel_is_asked,
        closing_while_frozen,
        agent_may_freeze,
        stopping_a_vm,
        stopping_a_killed_application,
        a_pause_of_the_clients,
        many_disks,
        freeze_and_wait_to_be_killed,
        wait_for_the_end,
        ignore_the_end,
    )
}


async def main(name: str) -> None:
    print(json.dumps(await SCENARIOS[name]()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
