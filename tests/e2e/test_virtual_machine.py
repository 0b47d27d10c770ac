"""The main job with a real virtual machine: its own kernel, its own root filesystem, a real boot."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from local.arm.settings import SimSettings
from local.azurite import AzuriteUnavailableError
from local.stack.stack import AGENT
from local.stack.waiting import ticks
from local.vm.base import BaseUnavailableError
from local.vm.capability import can_run_vms
from local.vm.demo import GUEST_PROCESSING, VM, Scene, scene
from local.vm.image import LEDGER, image
from local.world.sandbox import is_inside

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.world,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1500),  # the guest's packages may have to be fetched, and everything is emulated
]

#: Between the copies of two disks: longer than in the demonstration, as an emulated machine on a busy one may
#: write nothing for 300 ms, and the copies of a guest that is not held must differ.
GAP_S = 1.0

RUN_WITHIN_S = 600.0
SOON_S = 120.0
#: Longer than the freeze budget of the run that it happens to, and short enough to be counted: where the
#: kernel distrusts the processor's counter it uses the HPET's, whose 32 bits are full after 42.9 s.
PAUSE_S = 38.0

STATUS = f"python3 /{LEDGER}/local/guests/control.py status /run/ledger.sock"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready() -> AsyncIterator[Scene]:
    """A stack with a virtual machine whose ledger writes."""
    capability = can_run_vms()
    if not capability.ok:
        pytest.skip(capability.reason)
    if not is_inside():
        pytest.skip("run by `make test`: a virtual machine's disks are in the sandbox")
    try:
        guest = await asyncio.to_thread(image, AGENT, print)
        setting = scene(guest, SimSettings(capture_gap_s=GAP_S))
        scenery = await setting.__aenter__()
    except (AzuriteUnavailableError, BaseUnavailableError) as error:
        pytest.skip(str(error))
    try:
        yield scenery
    finally:
        await setting.__aexit__(None, None, None)


async def run_to_end(ready: Scene, guest_processing: dict[str, Any]) -> dict[str, Any]:
    api = ready.stack.api
    run_id = await api.start_run({"vms": [ready.stack.vm_id(VM)], "guest_processing": guest_processing})
    await api.ended(run_id, within_s=RUN_WITHIN_S)
    return await api.vm(run_id, VM)


async def in_guest(ready: Scene, script: str) -> str:
    result = await ready.stack.world.guests.run(VM, script, {})
    assert result.exit_code == 0, result.error
    return result.output


def snapshots_of(view: dict[str, Any]) -> list[str]:
    return [point["snapshot"] for point in view["recovery_point"]]


async def test_a_held_virtual_machine_boots_again_from_its_snapshots_and_is_whole(ready: Scene) -> None:
    view = await run_to_end(ready, GUEST_PROCESSING)
    assert (view["outcome"], view["grade"]) == ("succeeded", "application"), view["reasons"]
    held = view["evidence"]["quiesced"]["held"]
    filesystems = [hold["name"] for hold in held if hold["kind"] == "filesystem"]
    assert sorted(filesystems) == ["/", "/data/lun0", "/data/lun1"]
    assert filesystems[-1] == "/", "what lies on the root filesystem is frozen before it"
    verdict = await ready.restore(snapshots_of(view))
    assert verdict.whole, verdict.reason
    assert verdict.transfers > 0


async def goes_on(ready: Scene) -> None:
    """See that its root can be written, and that its ledger makes transfers."""
    await asyncio.wait_for(in_guest(ready, "echo written > /var/tmp/probe && sync"), SOON_S)
    before = json.loads(await in_guest(ready, STATUS))
    async for _ in ticks(SOON_S, "a transfer of the virtual machine's ledger"):
        after = json.loads(await in_guest(ready, STATUS))
        assert not after["held"]
        if after["transfers"] > before["transfers"]:
            return


async def test_the_held_virtual_machine_goes_on_and_its_root_can_be_written(ready: Scene) -> None:
    await goes_on(ready)


async def test_a_machine_paused_by_its_host_while_held_goes_on_and_is_not_called_proved(ready: Scene) -> None:
    qemu, copied = ready.machine.process, ready.stack.world.captures.records
    before = len(copied)
    settings = GUEST_PROCESSING | {"freeze_budget_ms": 30_000, "quiesce_timeout_ms": 28_000, "attempts": 1}
    settings |= {"on_guest_failure": "continue"}
    run = asyncio.create_task(run_to_end(ready, settings))
    async for _ in ticks(RUN_WITHIN_S, "the first disk's copy", pause_s=0.005):
        if len(copied) > before:  # two more follow: until then nobody orders to resume
            break
    qemu.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        qemu.send_signal(signal.SIGCONT)
    view = await run
    assert view["evidence"]["quiesced"]["held"], "it was not held when it was paused"
    assert view["grade"] == "crash", view["reasons"]
    resumed = view["evidence"]["resumed"]  # none where an emulated guest tells too late for the run
    assert resumed is None or not resumed["held_until_order"], "the pause had spent its budget"
    await goes_on(ready)


async def test_without_guest_processing_the_virtual_machine_comes_back_broken(ready: Scene) -> None:
    broken = False
    for _ in range(5):  # a machine that is starved may still write nothing between two copies
        await goes_on(ready)
        view = await run_to_end(ready, {"enabled": False})
        assert (view["outcome"], view["grade"]) == ("succeeded", "crash")
        broken = not (await ready.restore(snapshots_of(view))).whole
        if broken:
            break
    assert broken, "disks imaged at different instants never broke the ledger"


async def test_a_run_command_gives_exit_code_and_output_and_is_killed_when_called_off(ready: Scene) -> None:
    guests = ready.stack.world.guests
    ended = await guests.run(VM, 'echo "$GREETING"; echo warned >&2; exit 3', {"GREETING": "hello"})
    assert (ended.exit_code, ended.output, ended.error) == (3, "hello\n", "warned\n")
    started = asyncio.create_task(guests.run(VM, "touch /run/started; sleep 1234 & sleep 1234", {}))
    await asyncio.wait_for(in_guest(ready, "until [ -e /run/started ]; do sleep 0.1; done"), SOON_S)
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started
    gone = "until ! busybox pgrep -f 'sleep 1234$' >/dev/null; do sleep 0.1; done"
    await asyncio.wait_for(in_guest(ready, gone), SOON_S)


async def test_the_guest_reaches_the_storage_and_nothing_else(ready: Scene) -> None:
    storage = ready.stack.storage

    async def answer(address: str, port: int) -> str:
        asked = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 busybox nc -w 5 {address} {port} || true"
        return await in_guest(ready, asked)

    assert (await answer("127.0.0.1", storage.queue_port)).startswith("HTTP/1.")
    for port in (storage.queue_port, storage.table_port, storage.blob_port):
        assert not await answer("10.0.2.2", port), "this machine's loopback, for a guest of QEMU's network"
