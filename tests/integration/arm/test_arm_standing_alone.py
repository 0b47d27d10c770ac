"""The simulator as a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.arm.sim import SNAPSHOT_GROUP, VM_GROUP, client_for, snapshot_of

_WORLD = {
    "groups": [SNAPSHOT_GROUP],
    "settings": {"capture_gap_s": 0.0},
    "vms": [{"name": "db1", "disks": [{"name": "db1-os"}, {"name": "db1-data", "lun": 0}]}],
    "environments": {"db1": {"GREETING": "hello"}},
}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    description = tmp_path / "vms.json"
    description.write_text(json.dumps(_WORLD))
    command = [sys.executable, "-m", "local.arm", "--port", "0", "--vms", str(description)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


async def test_it_serves_a_described_world_and_ends_orderly_on_sigterm(
    process: subprocess.Popen[str],
) -> None:
    assert process.stdout is not None
    base_url = process.stdout.readline().split()[-1]

    async with client_for(base_url) as client:
        vm = await client.virtual_machines.get(VM_GROUP, "db1")
        poller = await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-data"))
        snapshot = await poller.result()
        script = {"location": "westeurope", "properties": {"source": {"script": "echo $GREETING"}}}
        commands = client.virtual_machine_run_commands
        await (await commands.begin_create_or_update(VM_GROUP, "db1", "r1", script)).result()
        command = await commands.get_by_virtual_machine(VM_GROUP, "db1", "r1", expand="instanceView")
    process.send_signal(signal.SIGTERM)

    assert (vm.name, snapshot.provisioning_state) == ("db1", "Succeeded")
    assert command.instance_view.output == "hello\n"
    assert process.wait(timeout=20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("description", "named"),
    [
        ('{"vm": []}', "vm"),
        ('{"settings": {"gap": 1}}', "settings.gap"),
        ('{"settings": {"page_size": "x"}}', "settings.page_size"),
        ('{"vms": [{"name": "a"}]}', "vm.disks"),
        ("[]", "description"),
        ("{", ""),
    ],
)
def test_a_description_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, description: str, named: str
) -> None:
    file = tmp_path / "vms.json"
    file.write_text(description)

    ended = subprocess.run(
        [sys.executable, "-m", "local.arm", "--vms", str(file)], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert named in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
