"""How a managed run command looks from outside. Secrets never come back."""

from collections.abc import Mapping
from typing import Any

from local.arm.clock import arm_time
from local.arm.state import RunCommand

_SHOWN = ("source", "parameters", "asyncExecution", "timeoutInSeconds", "treatFailureAsDeploymentFailure")


def shown_properties(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the asked properties that the service tells again: no protectedParameters."""
    return {name: asked[name] for name in _SHOWN if name in asked}


def run_command_json(command: RunCommand, *, view: bool) -> dict[str, Any]:
    """Return a run command's body, with its instance view where asked for."""
    properties = {**command.shown, "provisioningState": command.provisioning_state}
    if view:
        properties["instanceView"] = _instance_view(command)
    return {
        "name": command.id.name,
        "id": str(command.id),
        "type": command.id.type,
        "location": command.location,
        "tags": dict(command.tags),
        "properties": properties,
    }


def _instance_view(command: RunCommand) -> dict[str, Any]:
    view: dict[str, Any] = {
        "executionState": command.execution_state,
        "executionMessage": command.execution_message,
        "exitCode": command.exit_code,
        "output": command.output,
        "error": command.error,
    }
    if command.started is not None:
        view["startTime"] = arm_time(command.started)
    if command.ended is not None:
        view["endTime"] = arm_time(command.ended)
    return view
