"""Waking the agent of a guest by a managed run command, and removing that again."""

from dataclasses import dataclass, field
from importlib.resources import files

from shared.compute import agent_start_windows
from shared.compute.bodies import run_command
from shared.compute.client import ClientPool
from shared.compute.errors import NotFound, UnsupportedGuest, classified
from shared.compute.names import Kind, parse_id, run_command_name
from shared.saga.facts import VmFacts

BOOTSTRAP = "STILLFRAME_BOOTSTRAP"
"""The protected parameter, in the guest an environment variable, that hands over what the agent needs."""

#: Further protected parameters, where the agent may be installed.
PACKAGE_URL = "STILLFRAME_PACKAGE_URL"
PACKAGE_SHA256 = "STILLFRAME_PACKAGE_SHA256"
PACKAGE_UPGRADE = "STILLFRAME_PACKAGE_UPGRADE"

#: The script only starts a process that detaches itself.
SCRIPT_TIMEOUT_S = 120

#: What fetches the package: run by the guest's Python, and sent with the script.
_FETCH = (files(__package__) / "agent_fetch.py").read_text("ascii")

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
{_FETCH}END
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


@dataclass(frozen=True, slots=True)
class AgentPackage:
    """Where guests get ``agent.pyz`` from (a secret, where the URL carries a SAS), and what it must be."""

    url: str = field(repr=False)
    sha256: str


@dataclass(frozen=True, slots=True)
class AgentInstallation:
    """Leave to install the package where there is no agent, or, with ``upgrade``, an older one."""

    package: AgentPackage
    upgrade: bool


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


def _package(install: AgentInstallation | None) -> dict[str, str]:
    if install is None:
        return {}
    package = {PACKAGE_URL: install.package.url, PACKAGE_SHA256: install.package.sha256}
    return package | ({PACKAGE_UPGRADE: "1"} if install.upgrade else {})


def _how(vm: VmFacts, bootstrap: str, install: AgentInstallation | None) -> tuple[str, dict[str, str]]:
    """Give the script for the guest's system, and what it is handed.

    On Windows the agent is installed by ``install.ps1`` alone: the package there is more than one file.
    """
    match vm.os_type.lower():
        case "linux":
            return LINUX_SCRIPT, {BOOTSTRAP: bootstrap} | _package(install)
        case "windows":
            return agent_start_windows.SCRIPT, {BOOTSTRAP: agent_start_windows.handed(bootstrap)}
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
