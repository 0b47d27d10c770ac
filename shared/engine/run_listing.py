"""The use case of a list of runs: by policy, state and time, newest first."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from shared.engine.views import moment
from shared.storage.errors import RunNotFound
from shared.storage.run_list import Figures, ListedRun, RunList
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.runs import RunTable

#: Of a run that goes on and has more VMs than this the figures are not counted up.
COUNTED_VMS = 1_000
#: Runs that one answer looks at, to find those of the wanted state.
LOOKED_AT = 1_000


class RunState(StrEnum):
    """Whether all VMs of a run have ended."""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which runs are wanted. Times in ms since the epoch; ``policy`` empty and None: all."""

    policy: str = ""
    state: RunState | None = None
    since: int | None = None
    until: int | None = None


class RunListing:
    """Lists runs."""

    def __init__(self, listed: RunList, runs: RunTable) -> None:
        self._listed = listed
        self._runs = runs

    async def page(self, asked: Asked, *, limit: int, after: str) -> tuple[list[dict[str, Any]], str]:
        """Give up to ``limit`` runs after the place ``after``, and the place to go on from ("": no more).

        Where a state is wanted an answer may have fewer and go on all the same.
        """
        shown: list[dict[str, Any]] = []
        looked_at, place = 0, after
        while looked_at < LOOKED_AT:
            page = await self._listed.page(
                policy=asked.policy, since=asked.since, until=asked.until, after=place, limit=limit
            )
            for run in page:
                looked_at, place = looked_at + 1, run.place
                view = await self._view(run)
                if view is not None and asked.state in (None, view["state"]):
                    shown.append(view)
                    if len(shown) == limit:
                        return shown, place
            if len(page) < limit:
                return shown, ""
        return shown, place

    async def _view(self, run: ListedRun) -> dict[str, Any] | None:
        """Show a run; None for one whose creation was broken off."""
        figures, selecting = run.figures, False
        if figures is None:
            try:
                record = await self._runs.get(run.run_id)
            except RunNotFound:
                return None
            selecting, run = record.selecting, replace(run, vm_count=record.vm_count)
            if run.vm_count <= COUNTED_VMS:
                figures = figures_of([entry async for entry in self._runs.entries(run.run_id)])
        ended = figures is not None and figures.ended >= run.vm_count and not selecting
        return {
            "run": run.run_id,
            "href": f"/api/runs/{run.run_id}",
            "state": (RunState.ENDED if ended else RunState.RUNNING).value,
            "policy": run.policy_name or None,
            "requested_by": run.requested_by,
            "created_at": moment(run.created_at),
            "vm_count": run.vm_count,
            "vms_ended": figures.ended if figures else None,
            "vms_failed": figures.failed if figures else None,
            "warnings": figures.warnings if figures else None,
        }


def figures_of(entries: Iterable[RunEntry]) -> Figures:
    """Count what a run came to, by the last try of each VM."""
    latest = [entry for entry in entries if not entry.retried]
    return Figures(
        ended=sum(1 for entry in latest if entry.outcome),
        failed=sum(1 for entry in latest if entry.outcome == "failed"),
        warnings=sum(entry.warnings for entry in latest),
    )


def listed(record: RunRecord, figures: Figures | None = None) -> ListedRun:
    """Give a run as the list has it."""
    return ListedRun(
        run_id=record.run_id,
        created_at=record.created_at,
        policy_name=record.policy_name,
        requested_by=record.requested_by,
        vm_count=record.vm_count,
        figures=figures,
    )
