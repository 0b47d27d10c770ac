"""Waking the agent of a guest by a managed run command, and removing that again."""

from shared.compute import agent_start_windows
from shared.compute.agent_package import (
    FETCH,
    PACKAGE_SHA256,
    PACKAGE_UPGRADE,
    PACKAGE_URL,
    AgentInstallation,
    package_parameters,
)
from shared.compute.bodies import run_command
from shared.compute.client import ClientPool
from shared.compute.errors import NotFound, UnsupportedGuest, classified
from shared.compute.names import Kind, parse_id, run_command_name
from shared.saga.facts import VmFacts

BOOTSTRAP = "STILLFRAME_BOOTSTRAP"
"""The protected parameter, in the guest an environment variable, that hands over what the agent needs."""

#: The script only starts a process that detaches itself.
SCRIPT_TIMEOUT_S = 120

#: Exit code 3: no agent is installed. Exit code 4: no Python 3 to run it with (platform-python is the one
#: that RHEL 8 keeps for its own tools, where no python3 is on PATH). An agent that cannot be upgraded is
#: run as it is: when it says that it is ready, the app judges its version.
LINUX_SCRIPT = f"""\
agent="${{STILLFRAME_AGENT:-/opt/stillframe/agent.pyz}}"
for python in python3 /usr/libexec/platform-python none; do
    if command -v "$python" >/dev/null 2>&1; then break; fi
done
if [ "$python" != none ] && [ -n "${{{PACKAGE_URL}:-}}" ]; then
    "$python" - "$agent" <<'END'
{FETCH}END
fi
unset {PACKAGE_URL} {PACKAGE_SHA256} {PACKAGE_UPGRADE}
if [ ! -f "$agent" ]; then
    echo "stillframe: no agent at $agent" >&2
    exit 3
fi
if [ "$python" = none ]; then
    echo "stillframe: no Python 3 to run $agent with" >&2
    exit 4
fi
exec "$python" "$(readlink -f "$agent")" run --detach
"""


async def start_agent(
    pool: ClientPool,
    vm: VmFacts,
    saga_id: str,
    generation: int,
    *,
    bootstrap: str,
    install: AgentInstallation | None = None,
) -> None:
    """Start the agent in a guest, handing it ``bootstrap`` as a protected parameter, which never comes back.

    Returns when Azure accepted the run command, which is seconds before the agent runs: the agent itself says
    when it is ready. Doing it twice may run the script twice: the second agent finds the first one at work.
    Raises `UnsupportedGuest` and other `ComputeError`.
    """
    script, parameters = _how(vm, bootstrap, install)
    target = parse_id(vm.vm_id, Kind.VM)
    commands = pool.of(target.subscription_id).patient.virtual_machine_run_commands
    with classified():
        await commands.begin_create_or_update(
            target.resource_group,
            target.name,
            run_command_name(saga_id, generation),
            run_command(
                location=vm.location,
                script=script,
                secrets=parameters,
                timeout_s=SCRIPT_TIMEOUT_S,
            ),
        )


def _how(vm: VmFacts, bootstrap: str, install: AgentInstallation | None) -> tuple[str, dict[str, str]]:
    """Give the script for the guest's system, and what it is handed.

    On Windows the package replaces an older agent, and no more: the first one comes with its Python, by
    ``install.ps1``.
    """
    parameters = {BOOTSTRAP: bootstrap} | package_parameters(install)
    match vm.os_type.lower():
        case "linux":
            return LINUX_SCRIPT, parameters
        case "windows":
            return agent_start_windows.SCRIPT, agent_start_windows.handed(parameters)
        case _:
            raise UnsupportedGuest(vm.vm_id, vm.os_type)


async def remove(pool: ClientPool, vm_id: str, saga_id: str, generation: int) -> None:
    """Remove the run command of one start; one that is not there is fine, and so is a VM that is gone.

    Returns when Azure accepted the deletion: it takes as long as any change of a VM, and nothing depends on
    it. A VM keeps at most 25 run commands, so they have to go. Raises `ComputeError`.
    """
    target = parse_id(vm_id, Kind.VM)
    commands = pool.of(target.subscription_id).patient.virtual_machine_run_commands
    try:
        with classified():
            await commands.begin_delete(
                target.resource_group, target.name, run_command_name(saga_id, generation)
            )
    except NotFound:
        return
