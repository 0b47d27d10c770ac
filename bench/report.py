"""The tables at the end, and the same as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.accounting import RunCount
from bench.figures import Figure, figure
from bench.requests import Request
from bench.stages import STAGES
from bench.timing import BARE, KINDS, QUEUED, SAGA, Sample
from local.stack.app_host import ROOT

#: The aims, as the table compares them: ratio, ms, requests, invocations.
AIM_RATIO, AIM_ADDED_MS, AIM_REQUESTS, AIM_INVOCATIONS = 1.25, 250.0, 22.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that was measured."""

    machine: Mapping[str, Any]
    samples: Sequence[Sample]
    single: Sequence[RunCount]
    many: Sequence[RunCount]

    def windows(self, kind: str) -> Figure:
        """Sum up the freeze windows of a kind, in ms."""
        return figure([sample.window_ms for sample in self.samples if sample.kind == kind])

    def stage(self, kind: str, stage: str) -> Figure | None:
        """Sum up a stage of the freeze windows of a kind, in ms; None where it was not seen."""
        values = [one.stages[stage] for one in self.samples if one.kind == kind and stage in one.stages]
        return figure(values) if values else None

    def ratio(self, floor: str) -> float:
        """Give the saga's median window over that of a floor."""
        return self.windows(SAGA).p50 / self.windows(floor).p50


def show(console: Console, measured: Measured) -> None:
    """Print all tables."""
    console.print(_aims(measured))
    console.print(_stages(measured))
    console.print(_kinds(measured))
    console.print(_order(_typical(measured.single)))


def write(measured: Measured) -> Path:
    """Write ``.bench/report.json``; give its path."""
    path = ROOT / ".bench" / "report.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_document(measured), indent=2) + "\n")
    return path.relative_to(ROOT)


def _aims(measured: Measured) -> Table:
    table = Table(title="What a saga costs", title_justify="left")
    for heading in ("", "aim", "median", "p95", "least .. most", "n"):
        table.add_column(heading, justify="left" if heading in ("", "aim") else "right")
    for name, aim, value, unit in _rows(measured):
        shown = ".0f" if unit else ".4g"
        table.add_row(
            name,
            aim,
            f"{value.p50:{shown}}{unit}",
            f"{value.p95:{shown}}{unit}",
            f"{value.least:{shown}} .. {value.most:{shown}}{unit}",
            str(value.n),
        )
    for floor in (QUEUED, BARE):
        aim = f"<= {AIM_RATIO:g}" if floor == BARE else ""
        table.add_row(f"   freeze window / {_NAMES[floor]}", aim, f"{measured.ratio(floor):.2f}")
    return table


_NAMES = {
    SAGA: "saga",
    QUEUED: "straight line over the same queues",
    BARE: "straight line, no queue: the floor",
}


def _rows(measured: Measured) -> list[tuple[str, str, Figure, str]]:
    """Give name, aim, figure and unit of each row; the single runs have the aims."""
    rows = [(f"(1) freeze window, {_NAMES[kind]}", "", measured.windows(kind), " ms") for kind in KINDS]
    rows += _counts(measured.single, "one VM per run", aims=True)
    if measured.many:
        rows += _counts(measured.many, f"{measured.many[0].sagas} VMs per run", aims=False)
    return rows


def _counts(runs: Sequence[RunCount], which: str, *, aims: bool) -> list[tuple[str, str, Figure, str]]:
    rows = [
        ("(2) added from quiesced to resume", f"p50 <= {AIM_ADDED_MS:g} ms", _added(runs), " ms"),
        ("(3) storage requests", f"<= {AIM_REQUESTS:g}", figure([run.per_saga for run in runs]), ""),
        ("    empty polls and housekeeping", "", figure([run.idle_per_saga for run in runs]), ""),
        (
            "(4) function invocations",
            f"<= {AIM_INVOCATIONS:g}",
            figure([run.invocations_per_saga for run in runs]),
            "",
        ),
    ]
    return [(f"{name}, {which}", aim if aims else "", value, unit) for name, aim, value, unit in rows]


def _added(runs: Sequence[RunCount]) -> Figure:
    return figure([added for run in runs for added in run.added_ms])


def _stages(measured: Measured) -> Table:
    table = Table(title="Where the freeze window goes (medians, ms)", title_justify="left")
    table.add_column("stage")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    table.add_column("saga over floor", justify="right")
    for stage, _, _ in STAGES:
        found = [measured.stage(kind, stage) for kind in KINDS]
        saga, bare = measured.stage(SAGA, stage), measured.stage(BARE, stage)
        over = f"{saga.p50 - bare.p50:+.0f}" if saga and bare else ""
        table.add_row(stage, *(f"{one.p50:.0f}" if one else "" for one in found), over)
    windows = [measured.windows(kind) for kind in KINDS]
    table.add_row(
        "all of it", *(f"{one.p50:.0f}" for one in windows), f"{windows[0].p50 - windows[1].p50:+.0f}"
    )
    return table


def _kinds(measured: Measured) -> Table:
    """Show who asks what of the storage, for one VM and for many in a run."""
    single, many = _mean_kinds(measured.single), _mean_kinds(measured.many)
    table = Table(title="Storage requests per saga (means)", title_justify="left")
    for heading in ("who", "what", "one VM per run", "many VMs per run"):
        table.add_column(heading, justify="right" if "run" in heading else "left")
    for who, what in sorted({*single, *many}):
        values = (kinds.get((who, what), 0.0) for kinds in (single, many))
        table.add_row(who, what, *(f"{value:.2f}" if value else "" for value in values))
    return table


def _mean_kinds(runs: Sequence[RunCount]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = {}
    for run in runs:
        for kind, count in run.kinds().items():
            total[kind] = total.get(kind, 0.0) + count / len(runs)
    return total


def _typical(runs: Sequence[RunCount]) -> RunCount:
    """Give the run whose number of requests is the median."""
    return sorted(runs, key=lambda run: run.per_saga)[len(runs) // 2]


def _order(run: RunCount) -> Table:
    table = Table(title="The storage requests of one saga in their order", title_justify="left")
    for heading in ("", "at ms", "took ms", "who", "what", "which"):
        table.add_column(heading, justify="left" if heading.startswith("wh") else "right")
    for number, line in enumerate(_lines(run.requests), 1):
        at, took, *texts = line
        table.add_row(str(number), f"{at:.0f}", f"{took:.1f}", *texts)
    return table


def _lines(requests: Sequence[Request]) -> list[tuple[float, float, str, str, str]]:
    told = [request for request in requests if not request.idle]
    return [(one.began - told[0].began, one.ended - one.began, one.who, one.what, one.detail) for one in told]


def _document(measured: Measured) -> dict[str, Any]:
    return {
        "machine": dict(measured.machine),
        "aims": {
            "ratio": AIM_RATIO,
            "added_ms": AIM_ADDED_MS,
            "storage_requests": AIM_REQUESTS,
            "invocations": AIM_INVOCATIONS,
        },
        "figures": {name.strip(): asdict(value) for name, _, value, _ in _rows(measured)},
        "freeze_window_over_floor": {floor: round(measured.ratio(floor), 3) for floor in (BARE, QUEUED)},
        "samples": [asdict(sample) for sample in measured.samples],
        "runs": [
            {
                "vms": run.sagas,
                "added_ms": list(run.added_ms),
                "invocations": {name: count for name, count in run.invocations.items() if count},
                "idle_requests_per_saga": run.idle_per_saga,
                "requests": [
                    {"at_ms": at, "took_ms": took, "who": who, "what": what, "which": which}
                    for at, took, who, what, which in _lines(run.requests)
                ],
            }
            for run in (*measured.single, *measured.many)
        ],
    }
