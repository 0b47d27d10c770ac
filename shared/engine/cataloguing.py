"""Writing recovery points into the catalogue when their saga ends."""

from collections.abc import Iterable
from dataclasses import replace

from shared.compute.names import scope_of
from shared.engine.group_views import mark_of
from shared.engine.grouping import Grouping
from shared.saga.codec import encode
from shared.saga.consistency import Grade
from shared.saga.copying import FAILED
from shared.saga.evidence import Evidence
from shared.saga.state import SagaState
from shared.storage.point_records import PointRecord
from shared.storage.points import PointTable, Scope


class Catalogue:
    """Is told of every saga that has ended, before its end stands in the run."""

    def __init__(self, points: PointTable, grouping: Grouping | None = None) -> None:
        self._points = points
        self._grouping = grouping

    async def saga_ended(self, state: SagaState) -> None:
        """Write the recovery point of a saga down, if it has one. Again changes nothing.

        Whoever comes after a crash does it again (the message that ended the saga, or the sweep), for the end
        of the saga is not in its run before this is done.
        """
        kept = tuple(copy.snapshot_id for copy in state.recovery_point)
        await self._points.note_scopes(_scopes((*kept, *copies_of(state), *state.discard)))
        if kept:
            evidence = encode(state.evidence) if state.evidence else None
            group = await self._grouping.of(state) if self._grouping else None
            record = replace(point_record(state), group=mark_of(state, group))
            await self._points.record(record, evidence)


def point_record(state: SagaState) -> PointRecord:
    """Give the record of the recovery point of a saga that has ended and kept one."""
    assert state.outcome is not None
    evidence, ended_at = state.evidence, state.ended_at if state.ended_at is not None else state.started_at
    return PointRecord(
        point_id=state.spec.saga_id,
        vm_id=state.spec.vm_id,
        policy=state.spec.policy_name,
        run_id=state.spec.run_id,
        generation=state.generation,
        outcome=state.outcome,
        grade=state.grade or Grade.CRASH,
        created=_instant(evidence, ended_at),
        recorded=ended_at,
        resources=tuple(copy.snapshot_id for copy in state.recovery_point),
        copies=copies_of(state),
        freeze_window_ms=evidence.freeze_window_ms if evidence else None,
        evidence_sha256=evidence.digest() if evidence else "",
        warnings=len(state.warnings),
        reasons=state.reasons,
    )


def copies_of(state: SagaState) -> tuple[str, ...]:
    """Give the ids of the copies in other regions; one that was given up may be there or not."""
    return tuple(copy.snapshot_id for copy in state.copies if copy.error != FAILED)


def _instant(evidence: Evidence | None, otherwise: int) -> int:
    """Say when the first of the snapshots was made, by Azure's clock."""
    made = [capture.time_created for capture in evidence.captures] if evidence else []
    return min((at for at in made if at is not None), default=otherwise)


def _scopes(resource_ids: Iterable[str]) -> set[Scope]:
    return {Scope(*scope_of(resource_id)) for resource_id in resource_ids}
