"""Managed run commands: scripts that really run in a guest."""

import asyncio
import uuid
from dataclasses import replace
from typing import Any

from aiohttp import web

from local.arm.errors import (
    InvalidParameterError,
    OperationFailedError,
    OperationNotAllowedError,
    ParentResourceNotFoundError,
    ResourceNotFoundError,
)
from local.arm.guests import GuestResult
from local.arm.http import (
    GROUP,
    begin,
    json_body,
    location_of,
    member,
    operation_headers,
    page,
    resource_of,
    tags_of,
    world_of,
)
from local.arm.ids import ResourceId, parse_id
from local.arm.operations import Family
from local.arm.run_command_bodies import run_command_json, shown_properties
from local.arm.state import RunCommand, SimWorld, Vm

_DEFAULT_TIMEOUT_S = 90 * 60
_MAX_PER_VM = 25
_NOT_SIMULATED = ("scriptUri", "commandId", "galleryScriptReferenceId")


def routes() -> list[web.RouteDef]:
    """Return the routes of run commands."""
    every = f"{GROUP}/virtualMachines/{{vm}}/runCommands"
    one = f"{every}/{{run_command}}"
    return [web.get(every, _list), web.get(one, _get), web.put(one, _put), web.delete(one, _delete)]


async def _list(request: web.Request) -> web.Response:
    world = world_of(request)
    vm = _require_vm(world, parse_id(request.path.rpartition("/")[0]))
    view = request.query.get("$expand") == "instanceView"
    commands = [item for item in world.resources.run_commands.values() if item.vm.id.key == vm.id.key]
    return page(request, Family.COMPUTE, commands, lambda item: run_command_json(item, view=view))


async def _get(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    command = world.resources.run_commands.get(resource.key)
    if command is None:
        raise ResourceNotFoundError(resource)
    view = request.query.get("$expand") == "instanceView"
    return web.json_response(run_command_json(command, view=view))


async def _put(request: web.Request) -> web.Response:
    """Run a script; a command that is there already is stopped and run anew."""
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    vm = _require_vm(world, replace(resource, path=resource.path[:-2]))
    existing = world.resources.run_commands.get(resource.key)
    command = RunCommand(
        id=resource,
        revision=str(uuid.uuid4()),
        vm=vm,
        location=location_of(body),
        tags=tags_of(body),
        shown=shown_properties(member(body, "properties", dict, {})),
        timeout_s=member(body, "properties.timeoutInSeconds", int, _DEFAULT_TIMEOUT_S),
        runs_on=member(body, "properties.asyncExecution", bool, default=False),
        failure_fails_deployment=member(
            body, "properties.treatFailureAsDeploymentFailure", bool, default=False
        ),
        provisioning_state="Creating" if existing is None else "Updating",
    )
    script, environment = _script_of(body), _environment_of(body)
    _check_allowed(world, vm, new=existing is None)
    await _stop(world, resource.key)
    world.resources.run_commands[resource.key] = command

    async def work() -> dict[str, Any]:
        return await _provision(world, command, script, environment)

    def on_failure() -> None:
        _change(world, command, provisioning_state="Failed")

    operation = begin(request, Family.COMPUTE, command.location, work, on_failure)
    headers = operation_headers(request, operation, location=False)
    headers["Azure-AsyncNotification"] = "Enabled"
    status = 201 if existing is None else 200
    return web.json_response(run_command_json(command, view=False), status=status, headers=headers)


async def _provision(
    world: SimWorld, command: RunCommand, script: str, environment: dict[str, str]
) -> dict[str, Any]:
    """Start the script and, unless it is to run asynchronously, wait for its end.

    A script that fails is no failure of the operation, unless treatFailureAsDeploymentFailure is set; the
    codes of failures are assumed.
    """
    await asyncio.sleep(world.settings.run_command_latency_s)
    _require_current(world, command)
    if not command.vm.spec.agent_ready:
        raise OperationFailedError("VMAgentStatusCommunicationError", "The VM's agent is not ready.")
    task = asyncio.create_task(_execute(world, command, script, environment))
    world.scripts[command.id.key] = task
    if not command.runs_on:
        await asyncio.wait([task])
        if task.cancelled():
            raise OperationFailedError("OperationPreempted", "The run command was deleted or replaced.")
        _check_deployment(_require_current(world, command))
    return run_command_json(_change(world, command, provisioning_state="Succeeded"), view=False)


def _require_current(world: SimWorld, command: RunCommand) -> RunCommand:
    """Return the command as it is now; raises when it was deleted, or replaced by a later request."""
    current = world.resources.run_commands.get(command.id.key)
    if current is None or current.revision != command.revision:
        raise OperationFailedError("OperationPreempted", "The run command was deleted or replaced.")
    return current


def _check_deployment(command: RunCommand) -> None:
    if command.failure_fails_deployment and command.execution_state != "Succeeded":
        raise OperationFailedError("VMExtensionProvisioningError", command.execution_message)


async def _execute(world: SimWorld, command: RunCommand, script: str, environment: dict[str, str]) -> None:
    _change(world, command, execution_state="Running", started=world.clock.now())
    try:
        async with asyncio.timeout(command.timeout_s):
            result = await world.guests.run(command.vm.id.name, script, environment)
    except TimeoutError:
        ended = _not_completed("TimedOut", f"Execution timed out after {command.timeout_s} seconds")
    # The outermost edge of a task: whatever a backend raises is, from outside, a script that could not run.
    except Exception as error:  # noqa: BLE001
        ended = _not_completed("Failed", f"Execution failed: {error!r}")
    else:
        ended = _completed(result)
    if world.settings.stale_execution_state:
        ended |= {"execution_state": "Running", "exit_code": 0}
    _change(world, command, ended=world.clock.now(), **ended)


def _completed(result: GuestResult) -> dict[str, Any]:
    succeeded = result.exit_code == 0
    failure = f"Execution failed: command terminated with exit status={result.exit_code}"
    return {
        "execution_state": "Succeeded" if succeeded else "Failed",
        "execution_message": "Execution completed" if succeeded else failure,
        "exit_code": result.exit_code,
        "output": result.output,
        "error": result.error,
    }


def _not_completed(state: str, message: str) -> dict[str, Any]:
    return {"execution_state": state, "execution_message": message, "exit_code": -1}


async def _delete(request: web.Request) -> web.Response:
    """Delete a run command; one that still runs is killed ("Run scripts with managed Run Commands")."""
    world, resource = world_of(request), resource_of(request)
    command = world.resources.run_commands.get(resource.key)
    if command is None:
        return web.Response(status=204)

    async def work() -> None:
        await _stop(world, resource.key)
        await asyncio.sleep(world.settings.delete_latency_s)
        world.resources.run_commands.pop(resource.key, None)

    operation = begin(request, Family.COMPUTE, command.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


async def _stop(world: SimWorld, key: str) -> None:
    script = world.scripts.pop(key, None)
    if script is not None:
        script.cancel()
        await asyncio.wait([script])


def _change(world: SimWorld, command: RunCommand, **changes: Any) -> RunCommand:
    """Change the command, unless it was deleted or replaced meanwhile; return it as it is then."""
    current = world.resources.run_commands.get(command.id.key)
    if current is None or current.revision != command.revision:
        return command
    changed = replace(current, **changes)
    world.resources.run_commands[command.id.key] = changed
    return changed


def _require_vm(world: SimWorld, resource: ResourceId) -> Vm:
    vm = world.resources.vms.get(resource.key)
    if vm is None:
        raise ParentResourceNotFoundError(resource)
    return vm


def _check_allowed(world: SimWorld, vm: Vm, *, new: bool) -> None:
    """Refuse where the VM cannot take it. The limit of 25 run commands of a VM is assumed."""
    if vm.spec.power != "running":
        raise OperationNotAllowedError("Cannot modify extensions in the VM when the VM is not running.")
    commands = [item for item in world.resources.run_commands.values() if item.vm.id.key == vm.id.key]
    if new and len(commands) >= _MAX_PER_VM:
        raise OperationNotAllowedError(f"The VM has {len(commands)} run commands already.")


def _script_of(body: dict[str, Any]) -> str:
    for name in _NOT_SIMULATED:
        if member(body, f"properties.source.{name}", str):
            raise InvalidParameterError(f"source.{name}", "Only inline scripts are simulated.")
    for name in ("outputBlobUri", "errorBlobUri", "runAsUser"):
        if member(body, f"properties.{name}", str):
            raise InvalidParameterError(name, "Is not simulated.")
    script = member(body, "properties.source.script", str, "")
    if not script:
        raise InvalidParameterError("source", "A script must be given.")
    return str(script)


def _environment_of(body: dict[str, Any]) -> dict[str, str]:
    """Return the parameters as environment variables, which named ones become on Linux."""
    environment = {}
    for kind in ("parameters", "protectedParameters"):
        for index, parameter in enumerate(member(body, f"properties.{kind}", list, [])):
            where = f"{kind}[{index}]"
            if not isinstance(parameter, dict):
                raise InvalidParameterError(where, "Must be an object.")
            name, value = parameter.get("name"), parameter.get("value")
            if not isinstance(name, str) or not name or "=" in name or "\0" in name:
                raise InvalidParameterError(f"{where}.name", "Only named parameters are simulated.")
            if not isinstance(value, str) or "\0" in value:
                raise InvalidParameterError(f"{where}.value", "Must be a text.")
            environment[name] = value
    return environment
