"""`python -m infra.guests.enrol`: by the simulator's run commands into a guest that has the agent."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.arm.guests import GuestResult
from shared.protocol import vm_key
from shared.storage.guest_names import command_queue
from tests.integration.agent.machine import ETC, UNIT, Machine
from tests.integration.arm.sim import DB1, SUBSCRIPTION, VM_GROUP, Sim, simulated

ROOT = Path(__file__).resolve().parents[3]
MASTER = "5a" * 32
VM = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}/providers/Microsoft.Compute/virtualMachines/db1"
)
QUEUES = "https://guests.queue.core.windows.net"


class InTheBox:
    """The guest of the simulator's VM is the box."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        done = await asyncio.to_thread(self._machine.run, ["sh", "-c", script], dict(environment))
        return GuestResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture
async def sim(machine: Machine) -> AsyncIterator[Sim]:
    async with simulated(DB1, guests=InTheBox(machine)) as made:
        yield made


async def enrol(sim: Sim, folder: Path, *vms: str, secret: str = MASTER) -> tuple[int, str, str]:
    stand_in = folder / "bin/az"
    stand_in.parent.mkdir(exist_ok=True)
    stand_in.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("az_stand_in.py")}" "$@"\n'
    )
    stand_in.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "AZ_ASKED": str(folder / "asked"),
        "AZ_SECRET": secret,
        "AZ_SIMULATOR": sim.base_url,
        "STILLFRAME_PAUSE_S": "0.1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.guests.enrol", *(vms or (VM,))),
        *("--master-secret", "https://v.vault.azure.net/secrets/m", "--queues", QUEUES, "--key-version", "3"),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, wrong = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, told.decode(), wrong.decode()


async def test_the_agent_of_a_vm_becomes_resident_under_its_own_key(machine: Machine, sim: Sim) -> None:
    machine.install()
    assert not machine.at(UNIT).exists()

    _, told, wrong = await enrol(sim, machine.folder)

    kept: dict[str, Any] = json.loads(machine.at(ETC / "enrolment.json").read_text())
    assert kept["key"] == vm_key(bytes.fromhex(MASTER), VM, 3).hex()
    assert (kept["key_version"], kept["credential"]) == (3, "managed_identity")
    assert kept["command_queue"] == f"{QUEUES}/{command_queue(VM)}"
    assert machine.at(UNIT).exists()
    # The box reaches neither Azure's storage nor an identity, and its check says so.
    assert "identity" in told + wrong
    everything = told + wrong + (machine.folder / "asked").read_text() + str(await sim.admin("journal"))
    assert kept["key"] not in everything
    assert MASTER not in everything


async def test_the_run_command_is_taken_away_again(machine: Machine, sim: Sim) -> None:
    await enrol(sim, machine.folder)

    methods = [entry.method for entry in sim.world.journal.select() if "/runCommands/" in entry.path]
    assert (methods[0], methods[-1]) == ("PUT", "DELETE")


async def test_a_guest_without_the_agent_is_told_of_with_its_vm(machine: Machine, sim: Sim) -> None:
    code, _, wrong = await enrol(sim, machine.folder)

    assert code == 1
    assert VM in wrong
    assert "install the VM Application first" in wrong


async def test_a_vm_that_is_not_there_keeps_no_other_from_being_enrolled(machine: Machine, sim: Sim) -> None:
    machine.install()

    code, _, wrong = await enrol(sim, machine.folder, VM.replace("db1", "none"), VM)

    assert code == 1
    assert "none" in wrong
    assert machine.at(ETC / "enrolment.json").exists()


@pytest.mark.parametrize("secret", ["", "00" * 16, "not hex"])
async def test_a_secret_that_is_no_master_secret_is_refused_before_any_vm_is_asked(
    machine: Machine, sim: Sim, secret: str
) -> None:
    code, _, wrong = await enrol(sim, machine.folder, secret=secret)

    assert code == 1
    assert "--master-secret" in wrong
    assert (machine.folder / "asked").read_text().splitlines() == [
        "keyvault secret show --id https://v.vault.azure.net/secrets/m --query value --output tsv"
    ]
