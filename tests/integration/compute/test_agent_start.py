import asyncio
import base64
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local.arm.faults import Fault
from shared.compute import agent_start_windows
from shared.compute.agent_start import BOOTSTRAP, LINUX_SCRIPT
from shared.compute.errors import ComputeError, Refused, UnsupportedGuest
from tests.integration.compute.conftest import DB1, SAGA, Azure, serving

RUN_COMMANDS_PER_VM = 25


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what happens in the simulator sends no event
            await asyncio.sleep(0.01)


async def test_the_guest_gets_the_script_and_the_bootstrap(azure: Azure) -> None:
    await azure.compute.start_agent(await azure.facts(), SAGA, 1, "the secret")

    await until(lambda: bool(azure.guest.runs))
    [(vm, script, environment)] = azure.guest.runs
    assert (vm, script, environment) == ("db1", LINUX_SCRIPT, {BOOTSTRAP: "the secret"})


async def test_the_bootstrap_is_a_protected_parameter_and_the_run_is_not_waited_for(azure: Azure) -> None:
    await azure.compute.start_agent(await azure.facts(), SAGA, 1, "the secret")

    [put] = azure.requests("PUT", f"/virtualMachines/db1/runCommands/sf-{SAGA}-g1")
    properties = put.request_body["properties"]
    assert put.status == 201
    assert [parameter["name"] for parameter in properties["protectedParameters"]] == [BOOTSTRAP]
    assert "parameters" not in properties
    assert properties["asyncExecution"] is True
    assert properties["treatFailureAsDeploymentFailure"] is False
    assert properties["timeoutInSeconds"] > 0
    assert azure.requests("GET", "runCommands") == []


async def test_a_windows_guest_gets_its_own_script_and_a_bootstrap_without_quotation_marks() -> None:
    async with serving(replace(DB1, os_type="Windows")) as azure:
        await azure.compute.start_agent(await azure.facts(), SAGA, 1, '{"key": "the secret"}')

        await until(lambda: bool(azure.guest.runs))
        [(vm, script, environment)] = azure.guest.runs
        assert (vm, script) == ("db1", agent_start_windows.SCRIPT)
        assert base64.b64decode(environment[BOOTSTRAP]) == b'{"key": "the secret"}'


async def test_a_guest_of_another_system_is_refused(azure: Azure) -> None:
    facts = replace(await azure.facts(), os_type="Plan9")

    with pytest.raises(UnsupportedGuest) as refused:
        await azure.compute.start_agent(facts, SAGA, 1, "the secret")

    assert (refused.value.os_type, refused.value.passing) == ("Plan9", False)
    assert azure.requests("PUT") == []


async def test_a_vm_that_is_not_running_refuses_the_run_command() -> None:
    async with serving(replace(DB1, power="deallocated")) as azure:
        with pytest.raises(Refused):
            await azure.compute.start_agent(await azure.facts(), SAGA, 1, "the secret")


async def test_removed_run_commands_make_room_and_removing_twice_is_fine(azure: Azure) -> None:
    facts = await azure.facts()
    for generation in range(1, RUN_COMMANDS_PER_VM + 3):
        await azure.compute.start_agent(facts, SAGA, generation, "the secret")
        for _ in range(2):
            await azure.compute.stop_agent(facts.vm_id, SAGA, generation)
        await until(lambda: not azure.world.resources.run_commands)


async def test_nothing_is_left_to_remove_of_a_vm_that_is_gone(azure: Azure) -> None:
    await azure.compute.stop_agent(azure.vm_id + "2", SAGA, 1)


async def test_a_removal_that_is_refused_is_raised(azure: Azure) -> None:
    denied = {"error": {"code": "AuthorizationFailed", "message": "no"}}
    azure.fault(Fault(method="DELETE", status=403, body=denied))

    with pytest.raises(ComputeError):
        await azure.compute.stop_agent(azure.vm_id, SAGA, 1)


def run_script(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", LINUX_SCRIPT], env=environment, capture_output=True, text=True, check=False
    )


def test_a_guest_without_an_agent_says_so(tmp_path: Path) -> None:
    ended = run_script({"PATH": "/usr/bin:/bin", "STILLFRAME_AGENT": str(tmp_path / "none.pyz")})

    assert ended.returncode == 3
    assert str(tmp_path / "none.pyz") in ended.stderr


def test_a_guest_without_python_says_so(tmp_path: Path) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_text("")
    ended = run_script({"PATH": str(tmp_path), "STILLFRAME_AGENT": str(agent)})

    assert ended.returncode == 4


def test_the_agent_is_run_detached_and_finds_its_bootstrap(tmp_path: Path) -> None:
    agent = tmp_path / "an agent.pyz"
    agent.write_text("import os, sys; print(sys.argv[1:], os.environ['STILLFRAME_BOOTSTRAP'])")
    ended = run_script(
        {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "STILLFRAME_AGENT": str(agent),
            BOOTSTRAP: "the secret",
        }
    )

    assert (ended.returncode, ended.stdout) == (0, "['run', '--detach'] the secret\n")
