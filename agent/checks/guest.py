"""The guest itself: its Python, the agent's rights, its filesystems and its applications."""

import os
import sys
from typing import List, Mapping

from agent.checks import FAILED, OK, WARNING, Finding
from agent.handlers import HandlerFailed, known
from agent.startup import this_system
from agent.system import MountUnusable

OLDEST_PYTHON = (3, 6)
#: linux/capability.h
_CAPABILITIES = {14: "CAP_IPC_LOCK", 21: "CAP_SYS_ADMIN"}
_IN_MEMORY = ("tmpfs", "ramfs")


def python() -> Finding:
    """Look at the Python that runs this."""
    told = "{}.{}.{} at {}".format(*sys.version_info[:3], sys.executable)
    if sys.version_info < OLDEST_PYTHON:
        return Finding(FAILED, "python", told, "Install 3.6 or newer, the distribution's own")
    return Finding(OK, "python", told)


def rights_here(environ: Mapping[str, str]) -> List[Finding]:
    """Look at what this process may do, and at what the agent needs of its system."""
    if sys.platform == "win32":
        return [_administrator(), _vss(environ)]
    else:  # noqa: RET505 - the type checker goes by it
        return [capabilities("/proc/self/status"), _systemd()]


def capabilities(status: str) -> Finding:
    """Look at the capabilities that freezing takes, in a file like /proc/self/status."""
    with open(status) as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    held = int(lines["CapEff"], 16)
    missing = sorted(name for bit, name in _CAPABILITIES.items() if not held >> bit & 1)
    if "CAP_SYS_ADMIN" in missing:
        return Finding(
            FAILED, "rights", "without CAP_SYS_ADMIN no filesystem can be frozen", "Run it as root"
        )
    if missing:
        told = "without {} the dead-man's memory could be swapped out".format(", ".join(missing))
        return Finding(WARNING, "rights", told, "Run it as root")
    return Finding(OK, "rights", ", ".join(sorted(_CAPABILITIES.values())))


if sys.platform == "win32":

    def _administrator() -> Finding:
        import ctypes  # noqa: PLC0415 - its windll exists here only

        if ctypes.windll.shell32.IsUserAnAdmin():
            return Finding(OK, "rights", "an administrator")
        return Finding(FAILED, "rights", "not an administrator", "Run it elevated, or as SYSTEM")

    def _vss(environ: Mapping[str, str]) -> Finding:
        path = os.path.join(environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "diskshadow.exe")
        if os.path.isfile(path):
            return Finding(OK, "vss", path)
        advice = "Windows Server 2016 and newer have it, client editions do not"
        return Finding(WARNING, "vss", "there is no {}: no anchor can be made".format(path), advice)

    def state(_path: str) -> List[Finding]:
        """Say nothing: no volume is held on Windows, so that the state may lie anywhere."""
        return []

    def filesystems(_environ: Mapping[str, str], _state_dir: str) -> List[Finding]:
        """Say nothing: what an anchor is made of is the order's choice."""
        return []

else:

    def _systemd() -> Finding:
        if os.path.isdir("/run/systemd/system"):
            return Finding(OK, "systemd", "it runs")
        advice = "Start it by what this guest has instead"
        return Finding(WARNING, "systemd", "it does not run here: nothing starts a resident agent", advice)

    def state(path: str) -> List[Finding]:
        """See that the state lies in memory: on a disk that is frozen it could not be written."""
        return [lies_in_memory(path, "/proc/self/mountinfo")]

    def filesystems(environ: Mapping[str, str], state_dir: str) -> List[Finding]:
        """Say which would be frozen, and which would go on writing."""
        while not os.path.isdir(state_dir):
            state_dir = os.path.dirname(state_dir)
        try:
            choice = this_system().choose_mounts(environ, state_dir)
        except MountUnusable as error:
            return [Finding(FAILED, "filesystems", str(error), "Correct the agent's settings of mounts")]
        told = "{} would be frozen".format(", ".join(choice.chosen) or "none")
        if not choice.not_held:
            return [Finding(OK, "filesystems", told)]
        left = ", ".join("{} ({})".format(mount.name, mount.reason) for mount in choice.not_held)
        return [Finding(WARNING, "filesystems", "{}; left writing: {}".format(told, left))]


def lies_in_memory(path: str, mountinfo: str) -> Finding:
    """Look where ``path`` lies, by a file like /proc/self/mountinfo."""
    with open(mountinfo, errors="surrogateescape") as file:
        mounts = [line.split(" - ", 1) for line in file]
    points = {before.split()[4]: after.split()[0] for before, after in mounts}
    real = os.path.realpath(path)
    below = [p for p in points if p in ("/", real) or real.startswith(p + "/")]
    point = max(below, key=len)
    told = "{} lies on {} ({})".format(path, point, points[point])
    if points[point] not in _IN_MEMORY:
        return Finding(FAILED, "state", told, "It must be a tmpfs, which is never frozen")
    return Finding(OK, "state", told)


def applications(environ: Mapping[str, str]) -> List[Finding]:
    """Say which applications the agent would find and hold by itself, and whether it has their clients."""
    try:
        specs = known.detected(environ)
    except HandlerFailed as error:
        return [Finding(FAILED, "applications", error.detail, "Correct the section in agent.conf")]
    findings = []
    for spec in specs:
        try:
            client = known.client_of(spec, environ)
        except HandlerFailed as error:
            advice = "Install it, or name it by `client` in agent.conf: without it {} is not held".format(
                spec.name
            )
            findings.append(Finding(WARNING, spec.name, error.detail, advice))
        else:
            findings.append(Finding(OK, spec.name, "found, held by {}".format(client or "the agent itself")))
    if findings:
        return findings
    return [Finding(OK, "applications", "none found that the agent holds by itself")]
