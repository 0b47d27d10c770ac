"""Managed run commands: real scripts, through the unmodified client."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from local.arm.contract import violations
from local.arm.guests import LocalShell, UnknownGuestError
from local.arm.settings import SimSettings
from tests.integration.arm.sim import DB1, LOCATION, VM_GROUP, Sim, code_of, simulated, until


def _body(script: str, **properties: Any) -> dict[str, Any]:
    return {"location": LOCATION, "properties": {"source": {"script": script}, **properties}}


async def _view(sim: Sim, name: str = "r1") -> Any:
    return await sim.client.virtual_machine_run_commands.get_by_virtual_machine(
        VM_GROUP, "db1", name, expand="instanceView"
    )


async def _run(sim: Sim, body: dict[str, Any], name: str = "r1") -> Any:
    poller = await sim.client.virtual_machine_run_commands.begin_create_or_update(VM_GROUP, "db1", name, body)
    await poller.result()
    return await _view(sim, name)


async def test_a_script_runs_and_its_end_is_told(sim: Sim) -> None:
    command = await _run(sim, _body("echo out; echo err >&2; exit 3"))

    view = command.instance_view
    assert (view.execution_state, view.exit_code, view.output, view.error) == ("Failed", 3, "out\n", "err\n")
    assert view.start_time <= view.end_time
    assert command.provisioning_state == "Succeeded"
    (put,) = sim.world.journal.select(method="PUT")
    assert (put.status, put.response_headers["azure-asyncnotification"]) == (201, "Enabled")
    assert "location" not in put.response_headers


async def test_named_parameters_reach_the_script_and_protected_ones_never_come_back(sim: Sim) -> None:
    command = await _run(
        sim,
        _body(
            'echo "hello $NAME, ${#KEY}"',
            parameters=[{"name": "NAME", "value": "world"}],
            protectedParameters=[{"name": "KEY", "value": "s3cret"}],
        ),
    )

    assert command.instance_view.output == "hello world, 6\n"
    assert command.parameters[0].value == "world"
    assert command.protected_parameters is None
    assert "s3cret" not in str(await sim.admin("journal"))


async def test_a_guests_own_environment_reaches_its_scripts_and_that_of_the_simulator_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OF_THE_SIMULATOR", "yes")
    async with simulated(guests=LocalShell({"db1": {"OF_THE_GUEST": "here"}})) as sim:
        command = await _run(sim, _body('echo "$OF_THE_GUEST$OF_THE_SIMULATOR"'))

        assert command.instance_view.output == "here\n"


async def test_an_asynchronous_command_is_provisioned_while_its_script_still_runs(
    sim: Sim, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    command = await _run(sim, _body(f"read line <{gate}; echo $line", asyncExecution=True))
    assert (command.provisioning_state, command.instance_view.execution_state) == ("Succeeded", "Running")
    assert (command.instance_view.exit_code, command.instance_view.end_time) == (0, None)
    await asyncio.to_thread(gate.write_text, "opened\n")

    ended = await until(lambda: _view(sim), lambda seen: seen.instance_view.end_time is not None)
    assert (ended.instance_view.execution_state, ended.instance_view.output) == ("Succeeded", "opened\n")


async def test_a_child_that_a_script_leaves_behind_lives_on_and_nobody_waits_for_it(
    sim: Sim, tmp_path: Path
) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)

    command = await _run(sim, _body(f"(read line <{gate}; echo alive >{done}) & echo started"))
    assert command.instance_view.output == "started\n"
    assert not done.exists()
    await asyncio.to_thread(gate.write_text, "go\n")

    async def exists() -> bool:
        return done.exists()

    await until(exists, bool)


async def test_a_script_that_takes_too_long_is_killed_with_its_children(sim: Sim, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    command = await _run(sim, _body(f"sleep 600 & echo $! >{pid_file}; wait", timeoutInSeconds=1))

    assert command.instance_view.execution_state == "TimedOut"

    async def gone() -> bool:
        return not _alive(int(pid_file.read_text()))

    await until(gone, bool)


async def test_deleting_a_command_kills_its_script(sim: Sim, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    await _run(sim, _body(f"echo $$ >{pid_file}; exec sleep 600", asyncExecution=True))

    async def started() -> bool:
        return pid_file.exists() and pid_file.read_text() != ""

    await until(started, bool)
    await (await sim.client.virtual_machine_run_commands.begin_delete(VM_GROUP, "db1", "r1")).result()

    assert not _alive(int(pid_file.read_text()))
    with pytest.raises(ResourceNotFoundError):
        await _view(sim)


async def test_a_command_put_again_runs_again_and_the_former_script_is_killed(sim: Sim) -> None:
    first = await sim.client.virtual_machine_run_commands.begin_create_or_update(
        VM_GROUP, "db1", "r1", _body("sleep 600")
    )
    second = await _run(sim, _body("echo second"))

    assert (second.instance_view.output, second.provisioning_state) == ("second\n", "Succeeded")
    with pytest.raises(HttpResponseError) as caught:
        await first.result()
    assert code_of(caught.value) == "OperationPreempted"
    assert [item.status for item in sim.world.journal.select(method="PUT")] == [201, 200]


async def test_a_command_replaced_before_its_script_began_never_runs_nor_speaks_for_its_successor(
    tmp_path: Path,
) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    os.mkfifo(gate)
    async with simulated(settings=SimSettings(run_command_latency_s=0.2)) as sim:
        commands = sim.client.virtual_machine_run_commands
        first = await commands.begin_create_or_update(VM_GROUP, "db1", "r1", _body(f"touch {ran}"))
        second = await commands.begin_create_or_update(VM_GROUP, "db1", "r1", _body(f"read line <{gate}"))
        with pytest.raises(HttpResponseError) as caught:
            await first.result()

        assert code_of(caught.value) == "OperationPreempted"
        assert (await _view(sim)).provisioning_state == "Updating"
        await asyncio.to_thread(gate.write_text, "go\n")
        assert (await second.result()).provisioning_state == "Succeeded"
        assert not ran.exists()


async def test_a_failing_script_fails_the_deployment_only_where_asked_for(sim: Sim) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await _run(sim, _body("exit 1", treatFailureAsDeploymentFailure=True))

    assert code_of(caught.value) == "VMExtensionProvisioningError"
    assert (await _view(sim)).provisioning_state == "Failed"


async def test_only_the_last_4_kib_of_output_come_back(sim: Sim) -> None:
    command = await _run(sim, _body("seq 1 5000"))

    assert len(command.instance_view.output) == 4096
    assert command.instance_view.output.endswith("\n5000\n")


async def test_the_execution_state_can_be_made_to_lie_as_the_service_was_seen_to() -> None:
    async with simulated(settings=SimSettings(stale_execution_state=True)) as sim:
        view = (await _run(sim, _body("exit 3"))).instance_view

        assert (view.execution_state, view.exit_code) == ("Running", 0)
        assert view.end_time is not None
        assert view.execution_message.startswith("Execution failed")


async def test_commands_are_listed_by_their_vm(sim: Sim) -> None:
    await _run(sim, _body("true"), "r1")
    await _run(sim, _body("true"), "r2")

    listed = sim.client.virtual_machine_run_commands.list_by_virtual_machine(VM_GROUP, "db1")

    assert [item.name async for item in listed] == ["r1", "r2"]


async def test_a_vm_that_does_not_run_takes_no_commands() -> None:
    async with simulated(replace(DB1, power="deallocated")) as sim:
        with pytest.raises(ResourceExistsError) as caught:
            await _run(sim, _body("true"))

        assert code_of(caught.value) == "OperationNotAllowed"
        assert violations(sim.world.journal.select()) == []


async def test_a_vm_whose_agent_is_not_ready_fails_the_operation() -> None:
    async with simulated(replace(DB1, agent_ready=False)) as sim:
        with pytest.raises(HttpResponseError) as caught:
            await _run(sim, _body("true"))

        assert code_of(caught.value) == "VMAgentStatusCommunicationError"


async def test_a_command_on_a_vm_that_is_not_there_has_no_parent(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await sim.client.virtual_machine_run_commands.begin_create_or_update(
            VM_GROUP, "db9", "r1", _body("true")
        )

    assert code_of(caught.value) == "ParentResourceNotFound"


@pytest.mark.parametrize(
    "body",
    [
        {"location": LOCATION, "properties": {"source": {"scriptUri": "https://example.invalid/s.sh"}}},
        {"location": LOCATION, "properties": {}},
        _body("true", outputBlobUri="https://example.invalid/o"),
        _body("true", parameters=[{"name": "", "value": "positional"}]),
        _body("true", timeoutInSeconds="soon"),
    ],
)
async def test_what_is_not_simulated_is_refused_and_not_ignored(sim: Sim, body: dict[str, Any]) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await _run(sim, body)

    assert caught.value.status_code == 400


async def test_a_guest_that_nobody_knows_is_an_execution_that_failed() -> None:
    async with simulated(guests=LocalShell({})) as sim:
        command = await _run(sim, _body("true"))

        assert command.instance_view.execution_state == "Failed"
        assert UnknownGuestError.__name__ in command.instance_view.execution_message


async def test_closing_the_simulator_kills_the_scripts_that_still_run(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with simulated() as sim:
        await _run(sim, _body(f"echo $$ >{pid_file}; exec sleep 600", asyncExecution=True))

        async def started() -> bool:
            return pid_file.exists() and pid_file.read_text() != ""

        await until(started, bool)

    assert not _alive(int(pid_file.read_text()))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed child of a killed script stays a zombie where nothing reaps orphans.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
