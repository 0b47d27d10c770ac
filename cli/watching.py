"""A run while it goes on: its VMs' phases, who is held and for how long, until all have ended."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.client import Client
from cli.errors import TooLong, Unreachable
from cli.shown import Show, styled, window

View = Mapping[str, Any]

PHASES = (
    "pending", "preflight", "arming", "admitting", "armed", "quiescing", "held", "capturing", "captured",
    "resuming", "proved", "completing", "copying", "cleaning", "done",
)  # fmt: skip
#: Phases in which writes of the guest may be held.
HELD = ("quiescing", "held", "capturing", "captured", "resuming")
#: Phases after which the guest's own word on its freeze window is there.
AFTER = ("proved", "completing", "copying", "cleaning")

#: Seconds between two looks: short while a run is young, when its guests are held; then longer.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _YOUNG_S = 0.5, 5.0, 20.0
#: The API may be away for this long (s) before watching is given up; the run itself goes on.
_PATIENCE_S = 60.0
#: VMs whose whole view one look asks for.
_WHOLES_AT_MOST = 8


@dataclass(slots=True)
class Seen:
    """What was seen of the VMs so far, by their sagas' ids; times are the watcher's own, in seconds."""

    held_since: dict[str, float] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    phases: dict[str, str] = field(default_factory=dict)

    def look(self, run: View, now: float) -> Iterator[tuple[View, str, str]]:
        """Take a run in; give each VM whose phase is another one now, with the old and the new one."""
        for vm in run.get("vms", ()):
            saga, phase = vm["saga"], vm["phase"]
            if phase in HELD:
                self.held_since.setdefault(saga, now)
            if vm.get("freeze_window_ms") is not None:
                self.windows[saga] = vm["freeze_window_ms"]
            before = self.phases.get(saga, "")
            if phase == "done" and not vm.get("outcome"):  # the run is told of it in a moment
                continue
            if phase != before:
                self.phases[saga] = phase
                yield vm, before, phase

    def window(self, vm: View, now: float) -> str:
        """Say how long a VM has been held: the guest's own measure, or what it looks like from here."""
        saga = vm["saga"]
        if saga in self.windows:
            return window(self.windows[saga])
        if vm["phase"] in HELD and saga in self.held_since:
            return f"~{now - self.held_since[saga]:.1f} s"
        return "-"


class Watch:
    """Watches a run at ``path`` (``/runs/<run>``)."""

    def __init__(
        self,
        client: Client,
        show: Show,
        path: str,
        *,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._show = show
        self._path = path
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self._seen = Seen()

    def until_ended(self) -> View:
        """Watch until the run has ended; give its last view.

        Raises:
            TooLong: it had not, within ``timeout_s``.
            Unreachable: the API was away for too long.
        """
        if not self._show.notes.is_terminal:
            return self._watch(self._tell_lines)
        with Live(console=self._show.notes, transient=True, auto_refresh=False) as live:
            return self._watch(lambda run, now: live.update(self._picture(run, now), refresh=True))

    def _watch(self, tell: Callable[[View, float], None]) -> View:
        began = answered = self._clock()
        reached: float | None = began
        while True:
            now = self._clock()
            try:
                run = self._client.call("GET", self._path, "read").body
            except Unreachable as error:
                if now - answered > _PATIENCE_S:
                    raise
                if reached is not None:
                    self._show.note(f"{error.sentence}; trying again", style="yellow")
                reached = None
            else:
                reached = answered = now
                tell(run, now)
                self._ask_for_windows(run)
                if run["state"] == "ended":
                    return dict(run)
            if self._timeout_s is not None and now - began >= self._timeout_s:
                hint = "It goes on. Look: stillframe run watch. Cancel it: stillframe run cancel."
                raise TooLong(f"{self._path} had not ended after {self._timeout_s:g} s", hint=hint)
            self._sleep(self._pause(now - began))

    @staticmethod
    def _pause(age_s: float) -> float:
        if age_s < _YOUNG_S:
            return _FIRST_PAUSE_S
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * age_s / _YOUNG_S)

    def _ask_for_windows(self, run: View) -> None:
        """Ask for the windows of VMs that went on meanwhile: the run says them only at the end."""
        asked = 0
        for vm in run.get("vms", ()):
            if vm["phase"] in AFTER and vm["saga"] not in self._seen.windows and asked < _WHOLES_AT_MOST:
                asked += 1
                try:
                    whole = self._client.get(f"/runs/{run['run']}/vms/{vm['saga']}").body
                except Unreachable:
                    return
                if whole.get("freeze_window_ms") is not None:
                    self._seen.windows[vm["saga"]] = whole["freeze_window_ms"]

    def _tell_lines(self, run: View, now: float) -> None:
        """Say what changed, a line each: nobody looks at a moving picture in a log."""
        for vm, before, phase in self._seen.look(run, now):
            if phase == "done":
                told = f"{vm['outcome']}, {vm.get('grade') or 'no grade'}, held {self._seen.window(vm, now)}"
                self._show.note(f"{vm['name']}: {told}")
            elif before:
                self._show.note(f"{vm['name']}: {before} -> {phase}")
            else:
                self._show.note(f"{vm['name']}: {phase}")

    def _picture(self, run: View, now: float) -> Group:
        for _ in self._seen.look(run, now):
            pass
        vms = sorted(run.get("vms", ()), key=_interest)
        room = max(3, self._show.notes.height - 6)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column, width in (("VM", 22), ("phase", 11), ("", len(PHASES) - 1), ("held", 9), ("outcome", 22)):
            table.add_column(column, width=width, no_wrap=True, overflow="ellipsis")
        for vm in vms[:room]:
            table.add_row(*self._row(vm, now))
        left = len(vms) - room
        more = [Text(f"and {left} more", style="dim")] if left > 0 else []
        return Group(self._headline(run), table, *more)

    def _row(self, vm: View, now: float) -> tuple[Text, ...]:
        phase = vm["phase"]
        outcome = vm.get("outcome") or ""
        grade = f" ({vm['grade']})" if vm.get("grade") else ""
        held = Text(self._seen.window(vm, now), style="bold magenta" if phase in HELD else "")
        told = styled(outcome)
        told.append(grade, style="dim")
        return Text(vm["name"]), Text(phase), self._bar(phase), held, told

    def _bar(self, phase: str) -> Text:
        """Draw how far a VM is; the phases in which it may be held are marked."""
        full, empty = ("█", "·") if "utf" in (self._show.notes.encoding or "").lower() else ("#", ".")
        at = PHASES.index(phase) if phase in PHASES else 0
        bar = Text()
        for number, each in enumerate(PHASES[:-1]):
            reached = number <= at
            style = "magenta" if each in HELD else "cyan"
            bar.append(full if reached else empty, style=style if reached else "dim")
        return bar

    def _headline(self, run: View) -> Text:
        held = sum(1 for vm in run.get("vms", ()) if vm["phase"] in HELD)
        parts = [f"run {run['run']}", f"{run.get('vms_ended', 0)} of {run.get('vm_count', 0)} ended"]
        parts += [str(run["policy"])] if run.get("policy") else []
        parts += [f"{held} held"] if held else []
        parts += ["being cancelled"] if run.get("cancel_requested") else []
        return Text("  ".join(parts), style="bold")


def _interest(vm: View) -> tuple[int, str]:
    """Sort what is held first, then what goes on, then what ended badly, then the rest."""
    if vm["phase"] in HELD:
        return 0, str(vm["name"])
    if vm["phase"] != "done":
        return 1, str(vm["name"])
    return (3 if vm.get("outcome") == "succeeded" else 2), str(vm["name"])
