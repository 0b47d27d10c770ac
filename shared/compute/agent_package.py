"""The agent's package: where guests get it from, and how a run command has it installed."""

from dataclasses import dataclass, field
from importlib.resources import files

#: Protected parameters of the run command, where the agent may be installed.
PACKAGE_URL = "STILLFRAME_PACKAGE_URL"
PACKAGE_SHA256 = "STILLFRAME_PACKAGE_SHA256"
PACKAGE_UPGRADE = "STILLFRAME_PACKAGE_UPGRADE"

FETCH = (files(__package__) / "agent_fetch.py").read_text("ascii")
"""What fetches and installs the package: run by the guest's Python, and sent with the script."""


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


def package_parameters(install: AgentInstallation | None) -> dict[str, str]:
    """Give the parameters that tell the script of an installation."""
    if install is None:
        return {}
    package = {PACKAGE_URL: install.package.url, PACKAGE_SHA256: install.package.sha256}
    return package | ({PACKAGE_UPGRADE: "1"} if install.upgrade else {})
