"""A saga is looked at again later, its warnings are told, and its end is told and recorded."""

import json
import logging
from dataclasses import replace

from shared.engine import measuring
from shared.engine.effects.hands import Hands
from shared.engine.queue_names import STEPS, StepMessage
from shared.engine.views import run_entry
from shared.logs import logger
from shared.saga.effects import Alert, RecordEnd, Watch
from shared.saga.passing import is_tried_again
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, SagaState

_log = logger("effects")


async def watch(hands: Hands, state: SagaState, effect: Watch) -> None:
    """Have the saga looked at when this watch is due."""
    spec = state.spec
    message = StepMessage(spec.run_id, spec.saga_id, spec.vm_id, effect.number, try_number=spec.try_number)
    await hands.queues.send(STEPS, message.text(), delay_ms=max(0, effect.at - hands.clock()))


async def alert(_hands: Hands, state: SagaState, effect: Alert) -> None:
    """One line per warning, made to be searched for: docs/recovery-points.md has the query for an alert."""
    for warning in effect.warnings:
        _log.warning(
            "stillframe warning: vm=%s of_generation=%d kind=%s name=%s code=%s: %s",
            state.spec.vm_id,
            warning.generation,
            warning.kind,
            json.dumps(warning.name),
            warning.code,
            warning.detail,
        )


async def record_end(hands: Hands, state: SagaState, effect: RecordEnd) -> None:
    """Write the end into the catalogue and the run, count it, and take back the watch."""
    if hands.catalogue is not None:
        await hands.catalogue.saga_ended(state)
    timeline = await hands.timelines.saga_ended(state.spec.saga_id) if hands.timelines else None
    entry = replace(run_entry(state), timeline=timeline)
    if hands.following is None:
        await hands.runs.end_entry(state.spec.run_id, entry)
    else:
        await hands.following.ended(state, entry)
    measuring.saga_ended(state, timeline)
    if effect.watch_receipt:
        await hands.queues.cancel(STEPS, effect.watch_receipt)
    _tell_end(state)


def _tell_end(state: SagaState) -> None:
    """One line per end: the alerts and the workbook of infra/watch read it, and a test holds them to it."""
    window = state.evidence.freeze_window_ms if state.evidence else None
    budget, problem = state.spec.guest.longest_hold_ms, problem_of(state)
    well = problem is None or state.outcome is Outcome.CANCELLED
    what = "rehearsal ended" if state.spec.rehearsal else "try ended" if is_tried_again(state) else "ended"
    _log.log(
        logging.INFO if well else logging.WARNING,
        "stillframe %s: vm=%s outcome=%s grade=%s cause=%s, %s: %s%s",
        what,
        state.spec.vm_id,
        state.outcome,
        state.grade or "none",
        problem.cause if problem else "none",
        "nothing was held" if window is None else f"freeze window {window} ms of {budget} ms",
        "; ".join(state.reasons),
        f"; failing step: {problem.step}. {problem.sentence} {problem.what_to_do}" if problem else "",
    )
