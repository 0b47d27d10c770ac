"""The pass of a large run: thousands of VMs selected by their tags, from the request to the last saga's end.

No guest is behind these VMs and their guest processing is off: what is measured is what the app does for
each, how long its longest invocations take, and whether any of that grows with the number of VMs. Each
function's times are those of the host's log.
"""

import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.sagas import SagaFailedError, idle
from bench.tap import Exchange, Tap, tapping
from local import azurite
from local.arm.disks import NoDisks
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.stack.app_host import ROOT
from local.stack.stack import GROUP, Stack, StackOptions, running
from local.stack.waiting import ticks

#: What the issue of scale allows for one invocation (ms), and the time-out of host.json.
ALLOWED_MS = 60_000

TAG = {"env": "production"}
POLICY = "everything"
#: One VM of this many is left out by its tag, so that the selection has something to leave out.
LEFT_OUT_EVERY = 20

_PAUSE_S = 2.0
_EXECUTED = re.compile(
    r"^\S+ DEBUG +(?P<function>\w+) \S+ Executed \((?P<how>\w+), (?P<ms>\d+) ms\)", re.MULTILINE
)
_FAILED = re.compile(r"^\S+ ERROR +(?P<function>\w+) \S+ Executed \(Failed, (?P<ms>\d+) ms\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocations:
    """How often a function ran, and its times (ms): the median, that of one in a hundred, the longest."""

    function: str
    count: int
    failed: int
    p50_ms: int
    p99_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """What came of a large run. Times in s, from the request; ``looked_s`` are those of calls by its end."""

    vms: int
    selected_s: float
    ended_s: float
    invocations: tuple[Invocations, ...]
    azure: dict[str, int]
    storage: dict[str, int]
    looked_s: dict[str, float]
    size_of_view: int

    @property
    def longest_ms(self) -> int:
        """Give the longest of all invocations (ms)."""
        return max(each.longest_ms for each in self.invocations)


def options(*, gap_s: float = 0.3, page_size: int = 100) -> StackOptions:
    """Give a stack whose VMs have neither guests nor disks behind them.

    ``gap_s``: between the snapshots of a VM's disks; ``page_size``: of Azure's lists.
    """
    return StackOptions(
        sim=SimSettings(capture_gap_s=gap_s, page_size=page_size, journal_size=1_000_000),
        disks=NoDisks(),
        settings={"STILLFRAME_SWEEP_TIMER": "0 * * * * *"},
    )


def make_vms(stack: Stack, count: int) -> int:
    """Make so many VMs, some with a data disk; gives how many of them the policy is to select."""
    selected = 0
    for number in range(count):
        name, wanted = f"vm-{number:05}", number % LEFT_OUT_EVERY != LEFT_OUT_EVERY - 1
        disks = [DiskSpec(name=f"{name}-os")]
        if number % 4 == 0:
            disks.append(DiskSpec(name=f"{name}-data", lun=0))
        tags = TAG if wanted else {"env": "test"}
        stack.world.put_vm(VmSpec(name=name, disks=tuple(disks), resource_group=GROUP, tags=tags))
        selected += wanted
    return selected


async def start(stack: Stack) -> str:
    """Store a policy that selects by tag, and start a run of it; gives the run's id."""
    policy = {
        "selection": {
            "include": [
                {
                    "subscriptions": [stack.world.subscription_id],
                    "tags": {"all": [{"tag": tag, "equals": value} for tag, value in TAG.items()]},
                }
            ]
        },
        "guest_processing": {"enabled": False},
    }
    await stack.api.call("PUT", f"/api/policies/{POLICY}", policy)
    return await stack.api.start_run({"policy": POLICY})


async def until_ended(stack: Stack, run: str, count: int, within_s: float) -> tuple[float, float]:
    """Wait for the end of every saga; gives when the selection was seen to be done, and that (s).

    Raises:
        TooSlowError: they have not ended within ``within_s`` seconds.
    """
    began, selected = time.monotonic(), 0.0
    async for _ in ticks(within_s, f"run {run} of {count} VMs", pause_s=_PAUSE_S):
        if selected and not await idle(stack):
            continue  # the view of a large run costs the app more than a VM does: it is asked at rest
        view = await stack.api.run(run)
        if not selected and view["selection"]["state"] == "complete":
            selected = time.monotonic() - began
        if view["vms_ended"] == count:
            break
    return selected, time.monotonic() - began


async def measure(vms: int, *, progress: Callable[[str], None], within_s: float = 3_600) -> FanOut:
    """Run a policy over ``vms`` VMs, and look at it then.

    Raises:
        SagaFailedError, TooSlowError: a saga did not go well.
    """
    async with _counted() as (stack, storage):
        count = make_vms(stack, vms)
        progress(f"fan-out: {vms} VMs are there, {count} are to be selected")
        run = await start(stack)
        selected_s, ended_s = await until_ended(stack, run, count, within_s)
        progress(f"fan-out: all have ended after {ended_s:.0f} s")
        azure = Counter(_kind(one.method, one.path) for one in stack.world.journal.select())
        view, looked = await _look(stack, run)
        for vm in view["vms"]:
            if vm["outcome"] != "succeeded":
                raise SagaFailedError(await stack.api.vm(run, vm["saga"]))
        return FanOut(
            vms=count,
            selected_s=selected_s,
            ended_s=ended_s,
            invocations=tuple(invocations_of(stack.host.log)),
            azure=dict(azure.most_common()),
            storage=dict(storage.counts.most_common()),
            looked_s=looked,
            size_of_view=len(str(view)),
        )


class _Counts(Tap):
    """A tap that keeps nothing of what passes but how often: a large run would fill the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def passed(self, exchange: Exchange) -> None:
        """Count it; an empty answer to a receive is a poll that found nothing."""
        receive = exchange.service == "queue" and exchange.method == "GET"
        if exchange.service != "blob" and not (receive and b"<MessageId>" not in exchange.answer):
            self.counts[f"{exchange.service} {exchange.method}"] += 1


@contextlib.asynccontextmanager
async def _counted() -> AsyncIterator[tuple[Stack, _Counts]]:
    """Run a stack whose app and host reach the storage through a tap; its own Azurite lies idle."""
    async with contextlib.AsyncExitStack() as opened:
        storage = opened.enter_context(azurite.running())
        counts = _Counts()
        _, tapped = await opened.enter_async_context(tapping(storage, counts))
        chosen = options()
        connections = dict.fromkeys(("AzureWebJobsStorage", "GuestStorage"), tapped.connection_string)
        chosen = replace(chosen, settings={**chosen.settings, **connections})
        yield await opened.enter_async_context(running(chosen)), counts


async def _look(stack: Stack, run: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Look at the ended run as a person does, and say how long each answer took (s)."""
    looked: dict[str, float] = {}
    view: dict[str, Any] = {}
    for path in (f"/api/runs/{run}", "/api/runs", f"/api/runs/{run}/timeline", "/api/recovery-points"):
        began = time.monotonic()
        answer = (await stack.api.call("GET", path))[2]
        looked[f"GET {path.replace(run, '{run}')}"] = time.monotonic() - began
        view = view or answer
    return view, looked


def invocations_of(log: Path) -> list[Invocations]:
    """Read how long the invocations of each function took from the host's log, the longest first."""
    took: dict[str, list[int]] = {}
    failed: Counter[str] = Counter()
    text = log.read_text(errors="replace")
    for found in (*_EXECUTED.finditer(text), *_FAILED.finditer(text)):
        took.setdefault(found["function"], []).append(int(found["ms"]))
    failed.update(found["function"] for found in _FAILED.finditer(text))
    summed = [_sum_up(name, sorted(times), failed[name]) for name, times in took.items()]
    return sorted(summed, key=lambda one: -one.longest_ms)


def _sum_up(function: str, times: list[int], failed: int) -> Invocations:
    return Invocations(
        function=function,
        count=len(times),
        failed=failed,
        p50_ms=times[len(times) // 2],
        p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)],
        longest_ms=times[-1],
    )


def _kind(method: str, path: str) -> str:
    """Name a request to Azure by its method and the type of what it is about."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    at = next((index for index, part in enumerate(parts) if part.lower() == "providers"), None)
    if at is None or len(parts) <= at + 2:
        return f"{method} other"
    kind, named = parts[at + 2], len(parts) > at + 3
    return f"{method} {kind}" if named else f"{method} {kind} (list)"


def table(measured: FanOut) -> Table:
    """Show the invocations of each function."""
    shown = Table(title="Invocations, the longest first", title_justify="left")
    for heading in ("function", "count", "failed", "median ms", "p99 ms", "longest ms"):
        shown.add_column(heading, justify="left" if heading == "function" else "right")
    for one in measured.invocations:
        numbers = (one.count, one.failed, one.p50_ms, one.p99_ms, one.longest_ms)
        shown.add_row(one.function, *(str(number) for number in numbers))
    return shown


def lines(measured: FanOut) -> Iterable[str]:
    """Write the other figures."""
    ended_s = measured.ended_s
    yield f"{measured.vms} VMs: selected after {measured.selected_s:.1f} s, ended after {ended_s:.1f} s"
    yield f"that is {measured.vms / ended_s:.1f} VMs/s; the longest invocation took {measured.longest_ms} ms"
    for kind, count in measured.azure.items():
        yield f"Azure: {kind:<36}{count:>8}{count / measured.vms:>10.2f} a VM"
    for kind, count in measured.storage.items():
        yield f"storage: {kind:<34}{count:>8}{count / measured.vms:>10.2f} a VM"
    for path, took in measured.looked_s.items():
        yield f"{path:<50}{took:>8.2f} s"


def write(measured: FanOut) -> Path:
    """Write ``.bench/fan-out.json``; give its path."""
    path = ROOT / ".bench" / "fan-out.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(measured), indent=2) + "\n")
    return path.relative_to(ROOT)
