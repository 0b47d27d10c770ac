"""Any application, by its processes: services that are stopped and started, or halted where they stand.

``stop`` (the default) asks the service manager (systemctl) to stop units, the last one named first, and looks
that they did (docs/proof.md: 0 of 80 restored copies broken). ``sigstop`` sends SIGSTOP to every
process of the units, or of the processes that pid files name: no write gets through, but what they were in
the middle of is half done in the copy, as after a power failure. It claims no more than that.

Which units and pid files may be named is settled in the guest's file; an order may choose among them.
"""

import os
import signal
import sys
import time
from typing import Callable, Dict, List, Mapping, Set, Tuple

from agent import processes
from agent.handlers import HALTED, STOPPED, Handler, HandlerFailed, Held, Proof, Undo
from agent.handlers.clients import run
from agent.handlers.sites import Site, deadline_in, left_ms

assert sys.platform != "win32"

GUEST = frozenset(["client", "units", "pid_files"])
SETTINGS = frozenset(["units"])

STOP, SIGSTOP = "stop", "sigstop"

#: Where the unified hierarchy of control groups is mounted (cgroups(7)), and its place beside version 1.
_CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
_START_MS = 30_000
#: How long it may take to look, to start everything and to look again (ms): a database recovers first.
RESUME_MS = 2 * _START_MS
_SOON_MS = 5_000
_PAUSE_S = 0.01


class Services(Handler):
    """The services of one section."""

    def __init__(self, site: Site) -> None:
        site.check(SETTINGS, GUEST)
        self._site = site
        self._how = site.chosen_mode((STOP, SIGSTOP))
        self._pid_files = [path for path in site.guest_text("pid_files").split(os.pathsep) if path]
        self._units = _chosen(site.guest_text("units").split(), site.settings.get("units", "").split())
        self._stopped: List[str] = []
        self._since: Dict[str, str] = {}
        self._halted: Dict[int, str] = {}
        self._cancelled = False

    def detect(self) -> bool:
        """Only what the administrator named is ever stopped."""
        return bool(self._units or self._pid_files)

    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Ask for every unit's state."""
        if os.name == "nt":
            raise HandlerFailed("absent", "Services are stopped on Linux only.")
        if not self._units and not self._pid_files:
            raise HandlerFailed("bad_setting", "the guest's section.units: expected the names of services")
        if self._how == STOP and not self._units:
            raise HandlerFailed("bad_setting", "mode: expected sigstop, as only pid_files are named")
        states = {unit: self._show(unit, deadline_ms) for unit in self._units}
        missing = [unit for unit, found in states.items() if found["LoadState"] != "loaded"]
        if missing:
            raise HandlerFailed("absent", "There is no service {}.".format(", ".join(missing)))
        idle = [unit for unit, found in states.items() if found["ActiveState"] != "active"]
        return tuple("The service {} does not run; it is left as it is.".format(unit) for unit in idle)

    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Stop what runs, or halt its processes; then look."""
        deadline = deadline_in(deadline_ms)
        if self._how == STOP:
            self._stop(deadline, note)
            mode, detail = STOPPED, "stopped: {}".format(", ".join(self._stopped) or "nothing ran")
        else:
            self._halt(deadline, note)
            mode, detail = HALTED, "halted by SIGSTOP: {} processes".format(len(self._halted))
        names = self._units + self._pid_files
        return Held("services:" + ",".join(names), mode, detail)

    def resume(self) -> Proof:
        """See that nothing ran in between; then start it, or let it go on."""
        wrong = self._wrong()
        self.undo(self._noted())
        return Proof(not wrong, wrong)

    def verify(self) -> str:
        """Ask whether every service that was stopped runs again."""
        try:
            for unit in self._stopped:
                state = self._show(unit, _SOON_MS)["ActiveState"]
                if state != "active":
                    return "The service {} is {}.".format(unit, state)
        except HandlerFailed as failure:
            return str(failure)
        left = [pid for pid, own in self._halted.items() if _state(pid, own) in ("", "T")]
        return "Of the halted processes {} do not run.".format(left) if left else ""

    def undo(self, undo: Mapping[str, str]) -> None:
        """Let processes go on, and start what was stopped, in the order of the section."""
        for text in undo.get("halted", "").split():
            pid, own = text.split("=", 1)
            if processes.identity(int(pid)) == own:
                _signal(int(pid), signal.SIGCONT)
        units = undo.get("stopped", "").split()
        for unit in units:
            # Without waiting one for the other: they start in the order that the manager knows.
            self._systemctl(["start", "--no-block", unit], _SOON_MS)
        for unit in units:
            self._systemctl(["start", unit], _START_MS)

    def cancel(self) -> None:
        """Stop no further."""
        self._cancelled = True

    def close(self) -> None:
        """Do nothing: there is no session."""

    def _noted(self) -> Undo:
        halted = " ".join("{}={}".format(pid, own) for pid, own in sorted(self._halted.items()))
        return {"stopped": " ".join(self._stopped), "halted": halted}

    def _stop(self, deadline: float, note: Callable[[Undo], None]) -> None:
        running = [u for u in self._units if self._show(u, left_ms(deadline))["ActiveState"] == "active"]
        self._stopped = running
        note(self._noted())
        for unit in reversed(running):
            if self._cancelled:
                raise HandlerFailed("called_off", "It was called off.")
            self._systemctl(["stop", unit], left_ms(deadline))
        for unit in running:
            found = self._show(unit, left_ms(deadline))
            if found["ActiveState"] not in ("inactive", "failed"):
                raise HandlerFailed("refused", "The service {} is {}.".format(unit, found["ActiveState"]))
            pids = self._members(found["ControlGroup"])
            if pids:
                raise HandlerFailed("refused", "The service {} left {} running.".format(unit, sorted(pids)))
            self._since[unit] = found["InactiveEnterTimestampMonotonic"]

    def _halt(self, deadline: float, note: Callable[[Undo], None]) -> None:
        """Halt until nothing is left that runs: what was started meanwhile is halted too."""
        while True:
            running = {p: processes.identity(p) for p in self._pids(deadline) if p not in self._halted}
            running = {pid: own for pid, own in running.items() if own}
            if not running and all(_state(p, own) in ("", "T") for p, own in self._halted.items()):
                return
            self._halted.update(running)
            note(self._noted())
            for pid in running:
                _signal(pid, signal.SIGSTOP)
            if time.monotonic() >= deadline or self._cancelled:
                raise HandlerFailed("timed_out", "Not every process could be halted.")
            time.sleep(_PAUSE_S)

    def _pids(self, deadline: float) -> Set[int]:
        found: Set[int] = set()
        for unit in self._units:
            found |= self._members(self._show(unit, left_ms(deadline))["ControlGroup"])
        for path in self._pid_files:
            try:
                with open(path) as file:
                    found |= processes.family(int(file.read().split()[0]))
            except (OSError, ValueError, IndexError) as error:
                detail = "the guest's section.pid_files: {}: {}".format(path, error)
                raise HandlerFailed("absent", detail) from None
        return found - {os.getpid()}

    def _members(self, group: str) -> Set[int]:
        """Read the processes of a control group and of those below it."""
        found: Set[int] = set()
        tops = [top + group for top in _CGROUPS if group.strip("/") and os.path.isdir(top + group)]
        for folder, _, _ in (entry for top in tops for entry in os.walk(top)):
            try:
                with open(os.path.join(folder, "cgroup.procs")) as file:
                    found |= {int(line) for line in file}
            except OSError:  # it is gone
                continue
        return found

    def _wrong(self) -> str:
        try:
            for unit in self._stopped:
                found = self._show(unit, _SOON_MS)
                if found["ActiveState"] not in ("inactive", "failed"):
                    return "The service {} was started meanwhile.".format(unit)
                if found["InactiveEnterTimestampMonotonic"] != self._since[unit]:
                    return "The service {} was started and stopped meanwhile.".format(unit)
        except HandlerFailed as failure:
            return str(failure)
        awake = [pid for pid, own in self._halted.items() if _state(pid, own) != "T"]
        if awake:
            return "The processes {} did not stand still.".format(awake)
        if not self._halted:
            return ""
        fresh = self._pids(deadline_in(_SOON_MS)) - set(self._halted)
        return "The processes {} were started meanwhile.".format(sorted(fresh)) if fresh else ""

    def _show(self, unit: str, timeout_ms: int) -> Dict[str, str]:
        names = ["LoadState", "ActiveState", "ControlGroup", "InactiveEnterTimestampMonotonic"]
        text = self._systemctl(["show", "--property=" + ",".join(names), unit], timeout_ms)
        pairs = (line.partition("=") for line in text.splitlines())
        found = {name: value for name, _, value in pairs}
        return {name: found.get(name, "") for name in names}

    def _systemctl(self, words: List[str], timeout_ms: int) -> str:
        # What is started must not carry the marks of this generation: by them it would be killed.
        environ = {k: v for k, v in self._site.environ.items() if not k.startswith("STILLFRAME_")}
        return run([self._site.client(["systemctl"]), *words], environ, timeout_ms)


def _chosen(allowed: List[str], asked: List[str]) -> List[str]:
    for unit in allowed + asked:
        if unit.startswith("-"):
            raise HandlerFailed("bad_setting", "units: expected names of services, not {}".format(unit))
    strange = [unit for unit in asked if unit not in allowed]
    if strange:
        names = ", ".join(allowed) or "nothing"
        raise HandlerFailed("bad_setting", "settings.units: expected some of {}".format(names))
    return asked or allowed


def _state(pid: int, own: str) -> str:
    """Give the state of a process, as /proc tells it; "" if it is gone."""
    found = processes.read(pid)
    return found.state if found is not None and processes.identity(pid) == own else ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it ended meanwhile
        return
