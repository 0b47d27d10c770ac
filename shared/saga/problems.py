"""What happened, where, and what to do: a saga that did not end well, in a sentence for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.policy.concurrency import ADMISSION_TIMEOUT_MS
from shared.saga.advice import TOLD
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase, SagaState, Trouble

#: A sentence is for a screen, and for one column of the run's index (characters).
LONGEST_SENTENCE = 1_000

#: What a capture's code says where nobody gave a reason.
_UNSAID: Mapping[str, str] = {
    "deadline": "it was not seen to succeed in time",
    "abandoned": "another one had failed before",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a saga ended otherwise than well. ``cause`` and ``code`` are stable, the rest is for people."""

    cause: Cause
    code: str
    step: Phase
    generation: int
    sentence: str
    what_to_do: str


def problem_of(state: SagaState) -> Problem | None:
    """Say what went wrong with a saga that is done; None while it goes on, and when all is well."""
    if state.phase is not Phase.DONE:
        return None
    trouble = state.trouble
    if trouble is None:
        if state.outcome in (Outcome.SUCCEEDED, Outcome.REHEARSED):
            return None
        trouble = Trouble(
            cause=Cause.UNRECORDED,
            step=Phase.DONE,
            generation=state.generation,
            detail="; ".join(state.reasons),
        )
    values, advice = _values(state, trouble), TOLD[trouble.cause]
    happened = advice.happened.format_map(values)
    named = advice.happened.startswith("{")  # names are written as they are
    sentence = happened if named else f"{happened[:1].upper()}{happened[1:]}"
    return Problem(
        cause=trouble.cause,
        code=trouble.code,
        step=trouble.step,
        generation=trouble.generation,
        sentence=f"{_cut(sentence, LONGEST_SENTENCE - 100)}{_consequence(state)}.",
        what_to_do=advice.by_code.get(trouble.code, advice.what_to_do).format_map(values),
    )


def _values(state: SagaState, trouble: Trouble) -> Mapping[str, str]:
    guest, admission = state.spec.guest, state.spec.admission
    detail = trouble.detail.strip().rstrip(".")
    parts = state.spec.vm_id.split("/")
    return {
        "vm": parts[-1],
        "group": parts[4] if len(parts) > 4 else "GROUP",
        "saga": state.spec.saga_id,
        "subject": trouble.subject or "?",
        "detail": detail or _UNSAID.get(trouble.code, "no reason was given"),
        "code": trouble.code or "no answer",
        "budget": duration(guest.longest_hold_ms),
        "arming": duration(guest.arming_timeout_ms),
        "admission": duration(admission.timeout_ms if admission else ADMISSION_TIMEOUT_MS),
        "quiesce": duration(guest.quiesce_timeout_ms),
        "copying": duration(state.spec.snapshots.copy_timeout_ms),
        "completion": duration(state.spec.snapshots.completion_timeout_ms),
    }


def duration(ms: int) -> str:
    """Write a time as people say it: in the largest unit that it is a whole number of."""
    for unit, length in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= 2 * length and ms % length == 0:
            return f"{ms // length} {unit}"
    return f"{ms} ms"


def _consequence(state: SagaState) -> str:
    """Say what is left: the second half of the sentence."""
    match state.outcome:
        case Outcome.DEGRADED:
            return f"; the recovery point is {_consistent(state.grade)}"
        case Outcome.SUCCEEDED:
            return f"; the recovery point itself is well, and {_consistent(state.grade)}"
        case Outcome.REHEARSED:
            return "; a backup would be degraded"
        case _ if state.spec.rehearsal:
            return "; it was a rehearsal, and nothing was snapshotted"
        case _ if state.recovery_point:
            return "; its snapshots are kept, but should not be relied on"
        case _:
            return "; there is no recovery point"


def _consistent(grade: Grade | None) -> str:
    return f"{grade}-consistent" if grade else "not graded"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
