"""What a generation's acks say, from all that is known of it. Pure, like session."""

from typing import Tuple

from agent import anchors
from agent.moves import ExtendWatch
from agent.records import BY_ORDER, HANDLER, SCRIPT, Evidence, Failure, Hold, Quiesced, QuiesceFailed, Resumed
from agent.state import HELD, Attempt, State, Step, Waiting, change, tell
from shared import protocol

#: The ``mode`` of what an anchor covers.
ANCHOR = "anchor"

_TOO_LATE = "The order came after the freeze budget was spent."


def quiesced(state: State, now: int) -> Step:
    """Say that everything is held."""
    attempt = state.attempt
    assert attempt is not None
    facts = Quiesced(
        state.locked,
        attempt.held,
        attempt.not_held,
        now - attempt.started,
        max(0, attempt.budget_deadline - now),
        attempt.pre,
        attempt.anchored is not None,
        attempt.warnings,
    )
    state = change(state._replace(phase=HELD), quiesced=True)
    return tell(state, attempt.sequence, attempt.generation, facts)


def anchored(state: State, now: int) -> Step:
    """Say that the instant lies in the anchor, when the applications go on; from now its lifetime counts."""
    attempt = state.attempt
    assert attempt is not None
    assert attempt.anchored is not None
    assert attempt.plan.anchor is not None
    covered = tuple(Hold(kind_of(attempt), name, ANCHOR) for name in attempt.anchored.names)
    deadline = now + attempt.plan.anchor.lifetime_ms
    state = change(
        state,
        held=(*attempt.held, *covered),
        budget_deadline=deadline,
        window_ms=now - attempt.started,
    )
    state, told = quiesced(state, now)
    return state, (ExtendWatch(attempt.generation, deadline), *told)


def kind_of(attempt: Attempt) -> str:
    """Give the kind of hold that this generation's anchor is told under."""
    assert attempt.anchored is not None
    return anchors.KINDS[attempt.anchored.provider]


def resumed(state: State, waiting: Tuple[Waiting, ...], now: int) -> Resumed:
    """Judge the generation: held until the order only if order, evidence and generation all agree."""
    attempt = state.attempt
    assert attempt is not None
    ordered = attempt.released_by == BY_ORDER
    late = ordered and attempt.released_at > attempt.budget_deadline
    held = (*_script(attempt), *attempt.handler_evidence, *attempt.evidence, *attempt.anchor_evidence)
    if late:
        held = tuple(e._replace(whole=False, detail=e.detail or _TOO_LATE) for e in held)
    resumes = [w for w in waiting if w.kind == protocol.RESUME]
    meant = all(w.generation == attempt.generation for w in resumes)
    whole = attempt.quiesced and ordered and meant and bool(held) and all(e.whole for e in held)
    window = now - attempt.started if attempt.begun else 0
    return Resumed(
        attempt.released_by,
        whole,
        held,
        attempt.window_ms or window,
        attempt.post,
        state.clock_offset - attempt.clock_offset,
        attempt.warnings,
    )


def _script(attempt: Attempt) -> Tuple[Evidence, ...]:
    """A script holds until its post-script: due by the order, or once the anchor was there."""
    if attempt.pre is None or not attempt.pre.started:
        return ()
    whole = attempt.released_by == BY_ORDER or (attempt.anchored is not None and attempt.quiesced)
    detail = "" if whole else "The post-script was due before the order."
    return (Evidence(SCRIPT, attempt.pre.path, whole=whole, detail=detail),)


def failed(attempt: Attempt, result: Resumed) -> QuiesceFailed:
    """Say why there was no `quiesced`, and whether everything has been let go."""
    failure = attempt.failure or Failure("failed", "Quiescing ended without a result.")
    evidence = (*attempt.handler_evidence, *attempt.evidence, *attempt.anchor_evidence)
    released = all(e.released for e in evidence)
    return QuiesceFailed(failure, released, result.window_ms, attempt.pre, attempt.post, attempt.warnings)


def broken_handler(attempt: Attempt) -> Failure:
    """Say which application had let go before the anchor was there."""
    names = ", ".join(e.name for e in attempt.handler_evidence if e.kind == HANDLER and not e.whole)
    return Failure("handler_lost", "Not held until the anchor was there: {}.".format(names))
