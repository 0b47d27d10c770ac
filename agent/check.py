"""`agent.pyz check`: what would stop the agent in this guest, one line each.

It changes nothing in the guest. The command queue is asked for one message, which is hidden for a second;
nothing is added to the ack queue.
"""

import email.utils
import os
import sys
import time
from typing import Callable, List, Mapping, NamedTuple, Optional, Tuple

from agent import config, enrolment, guest_config
from agent.config import Bootstrap, Settings
from agent.line import credential_of
from agent.queues import InsecureUrl, Queue, QueueUnreachable, Reply

OK, WARNING, FAILED = "ok", "warning", "failed"

OLDEST_PYTHON = (3, 6)
#: linux/capability.h
_CAPABILITIES = {14: "CAP_IPC_LOCK", 21: "CAP_SYS_ADMIN"}
_IN_MEMORY = ("tmpfs", "ramfs")
_TIMEOUT_S = 10.0
#: Commands expire by the clock of the app: an hour off, and none would ever be obeyed (ms).
_OFF_MS, _FAR_OFF_MS = 5_000, 60_000


class Finding(NamedTuple):
    """One thing that was looked at: ``verdict`` is ok, warning or failed."""

    verdict: str
    name: str
    detail: str


def main(environ: Mapping[str, str]) -> int:
    """Print the findings; returns 1 if one of them would stop the agent."""
    findings = look(environ)
    for finding in findings:
        print("{:8}{:12}{}".format(finding.verdict, finding.name, finding.detail))
    return 1 if any(finding.verdict == FAILED for finding in findings) else 0


def look(environ: Mapping[str, str]) -> List[Finding]:
    """Look at the guest, then at the way to the queues."""
    findings = [_python()]
    if sys.platform != "win32":
        findings += [_rights("/proc/self/status"), _systemd()]
    try:
        guest_config.load(environ)
        settings = config.read_settings(environ)
    except config.BadSetting as error:
        return [*findings, Finding(FAILED, "settings", str(error))]
    if sys.platform != "win32":
        findings.append(_state(settings.state_dir, "/proc/self/mountinfo"))
    try:
        bootstrap = enrolment.load(environ)
    except config.BadSetting as error:
        return [*findings, Finding(WARNING, "enrolment", "{}; a run command brings its own".format(error))]
    told = "key version {}, {}".format(bootstrap.key_version, bootstrap.credential)
    return [*findings, Finding(OK, "enrolment", told), *_queues(bootstrap, settings)]


def _python() -> Finding:
    told = "{}.{}.{} at {}".format(*sys.version_info[:3], sys.executable)
    if sys.version_info < OLDEST_PYTHON:
        return Finding(FAILED, "python", told + ": 3.6 or newer is needed")
    return Finding(OK, "python", told)


def _rights(status: str) -> Finding:
    with open(status) as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    held = int(lines["CapEff"], 16)
    missing = sorted(name for bit, name in _CAPABILITIES.items() if not held >> bit & 1)
    if "CAP_SYS_ADMIN" in missing:
        told = "without CAP_SYS_ADMIN no filesystem can be frozen: run it as root"
        return Finding(FAILED, "rights", told)
    if missing:
        told = "without {} the dead-man's memory could be swapped out".format(", ".join(missing))
        return Finding(WARNING, "rights", told)
    return Finding(OK, "rights", ", ".join(sorted(_CAPABILITIES.values())))


def _systemd() -> Finding:
    if os.path.isdir("/run/systemd/system"):
        return Finding(OK, "systemd", "it runs")
    return Finding(WARNING, "systemd", "it does not run here: nothing starts a resident agent at boot")


def _state(path: str, mountinfo: str) -> Finding:
    """The state must lie in memory: on a disk that is frozen it could not be written."""
    with open(mountinfo, errors="surrogateescape") as file:
        mounts = [line.split(" - ", 1) for line in file]
    points = {before.split()[4]: after.split()[0] for before, after in mounts}
    real = os.path.realpath(path)
    below = [p for p in points if p in ("/", real) or real.startswith(p + "/")]
    point = max(below, key=len)
    told = "{} lies on {} ({})".format(path, point, points[point])
    if points[point] not in _IN_MEMORY:
        return Finding(FAILED, "state", told + ": it must be a tmpfs, which is never frozen")
    return Finding(OK, "state", told)


def _queues(bootstrap: Bootstrap, settings: Settings) -> List[Finding]:
    def monotonic() -> int:
        return int(time.monotonic() * 1000)

    try:
        credential = credential_of(bootstrap, settings.imds, monotonic)
        commands = Queue(bootstrap.command_queue, _TIMEOUT_S, credential)
        acks = Queue(bootstrap.ack_queue, _TIMEOUT_S, credential)
    except InsecureUrl as error:
        return [Finding(FAILED, "queues", str(error))]
    received, reply = _asked(
        "commands",
        lambda: commands.ask("receive", "GET", "numofmessages=1&visibilitytimeout=1"),
        "Storage Queue Data Message Processor on its command queue, or a newer SAS",
        200,
    )
    # Rights are checked before the message is: this one is no message, so that nothing is added.
    added, _ = _asked(
        "acks",
        lambda: acks.ask("put", "POST", body=b"<Nothing/>"),
        "Storage Queue Data Message Sender on the ack queue, or a newer SAS",
        400,
    )
    return [received, added, *([] if reply is None else [_clock(reply, time.time())])]


def _asked(name: str, ask: Callable[[], Reply], right: str, good: int) -> Tuple[Finding, Optional[Reply]]:
    try:
        reply = ask()
    except QueueUnreachable as error:
        return Finding(FAILED, name, "{}: outbound 443 must be open".format(error)), None
    if reply.status in (401, 403):
        told = "refused ({} {}): the agent needs {}".format(reply.status, reply.code, right)
        return Finding(FAILED, name, told), reply
    if reply.status == 404:
        return Finding(FAILED, name, "there is no such queue: the app makes it"), reply
    if reply.status != good:
        return Finding(FAILED, name, "the service answered {} {}".format(reply.status, reply.code)), reply
    return Finding(OK, name, "reached and allowed"), reply


def _clock(reply: Reply, now: float) -> Finding:
    date = email.utils.parsedate_tz(reply.date)
    if date is None:
        return Finding(WARNING, "clock", "the service did not say what time it is")
    off_ms = int((now - email.utils.mktime_tz(date)) * 1000)
    told = "{:+.1f} s against the service".format(off_ms / 1000)
    if abs(off_ms) > _FAR_OFF_MS:
        return Finding(FAILED, "clock", told + ": commands expire by the app's clock")
    return Finding(WARNING if abs(off_ms) > _OFF_MS else OK, "clock", told)
