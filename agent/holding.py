"""The first half of a generation: what is held, one after the other. Pure, like session.

Pre-script -> handlers -> filesystems, or the anchor in their place; then the ack.
"""

from agent import releasing, telling
from agent.moves import (
    AnchorCreated,
    AnchorDropped,
    AnchorFailed,
    CreateAnchor,
    FilesystemsHeld,
    FilesystemsReleased,
    Freeze,
    FreezeFailed,
    HandlerLost,
    HandlersFailed,
    HandlersHeld,
    HandlersReleased,
    HoldHandlers,
)
from agent.records import BY_AGENT, SCRIPT, Failure, Hold, Warning_
from agent.state import (
    ANCHORING,
    DROPPING,
    FREEZING,
    HANDLERS,
    HELD,
    POST_SCRIPT,
    PREPARING,
    RELEASING,
    RESUMING,
    State,
    Step,
    change,
)


def begin(state: State, now: int) -> Step:
    """Hold the applications that have handlers; then what is under them."""
    attempt = state.attempt
    assert attempt is not None
    if not (attempt.plan.handlers or attempt.plan.detect):
        return _hold_disks(state, now)
    state = change(state._replace(phase=HANDLERS), handlers_asked=True)
    return state, (HoldHandlers(attempt.generation, time_left(state, now)),)


def _hold_disks(state: State, now: int) -> Step:
    attempt = state.attempt
    assert attempt is not None
    spec = attempt.plan.anchor
    if spec is None:
        return state._replace(phase=FREEZING), (Freeze(attempt.generation),)
    state = change(state._replace(phase=ANCHORING), anchoring=True)
    return state, (CreateAnchor(attempt.generation, spec, time_left(state, now)),)


def time_left(state: State, now: int) -> int:
    """Say how long quiescing may still take (ms)."""
    assert state.attempt is not None
    return max(1, min(state.attempt.quiesce_deadline, state.attempt.budget_deadline) - now)


def handlers_held(state: State, given: HandlersHeld, now: int) -> Step:
    """Go on to what is under the applications."""
    attempt = state.attempt
    if attempt is None or state.phase != HANDLERS or attempt.generation != given.generation:
        return state, ()
    state = change(
        state,
        held=given.held,
        not_held=attempt.not_held + given.not_held,
        warnings=attempt.warnings + given.warnings,
    )
    return _hold_disks(state, now)


def handlers_failed(state: State, given: HandlersFailed, now: int) -> Step:
    """Let go: an application that must be held is not."""
    attempt = state.attempt
    if attempt is None or state.phase != HANDLERS or attempt.generation != given.generation:
        return state, ()
    return releasing.let_go(state, BY_AGENT, Failure(given.reason, given.detail), now)


def handler_lost(state: State, given: HandlerLost, now: int) -> Step:
    """Let go: the generation has lost what one handler held."""
    attempt = state.attempt
    lost = attempt is not None and attempt.generation == given.generation and not attempt.released_by
    if not lost or state.phase not in (HANDLERS, ANCHORING, FREEZING, HELD):
        return state, ()
    failure = Failure("handler_lost", "The handler {} ended: {}.".format(given.name, given.detail))
    return releasing.let_go(state, BY_AGENT, failure, now)


def handlers_released(state: State, given: HandlersReleased, now: int) -> Step:
    """Go on after the applications: with the post-script."""
    attempt = state.attempt
    if attempt is None or attempt.generation != given.generation:
        return state, ()
    if attempt.handlers_released or not attempt.handlers_asked:
        return state, ()
    warnings = attempt.warnings + given.warnings
    state = change(state, handlers_released=True, handler_evidence=given.evidence, warnings=warnings)
    if state.phase == RESUMING:
        return releasing.post_script(state, now)
    return releasing.conclude(state, now) if state.phase == POST_SCRIPT else (state, ())


def anchor_created(state: State, given: AnchorCreated, now: int) -> Step:
    """Let the applications go on: the instant is kept."""
    attempt = state.attempt
    if attempt is None or not attempt.anchoring or attempt.generation != given.generation:
        return state, ()
    found = given.anchored
    told = tuple(Warning_("anchor", found.provider, "anchor", text) for text in found.warnings)
    script = (Hold(SCRIPT, attempt.pre.path),) if attempt.pre is not None and attempt.pre.started else ()
    state = change(
        state,
        anchoring=False,
        anchored=found,
        held=script + attempt.held,
        not_held=attempt.not_held + given.not_held,
        warnings=attempt.warnings + told,
    )
    if state.phase == POST_SCRIPT:  # the dead-man fired meanwhile
        return releasing.conclude(state, now)
    return releasing.thaw(state, now) if attempt.released_by else releasing.handlers(state, now)


def anchor_failed(state: State, given: AnchorFailed, now: int) -> Step:
    """Let go: there is no anchor."""
    attempt = state.attempt
    if attempt is None or not attempt.anchoring or attempt.generation != given.generation:
        return state, ()
    state = change(state, anchoring=False)
    if state.phase == POST_SCRIPT:
        return releasing.conclude(state, now)
    state, _ = releasing.let_go(state, BY_AGENT, Failure(given.reason, given.detail), now)
    return releasing.thaw(state, now)


def anchor_dropped(state: State, given: AnchorDropped, now: int) -> Step:
    """Finish: nothing is left."""
    attempt = state.attempt
    if attempt is None or attempt.dropped or attempt.generation != given.generation:
        return state, ()
    state = change(state, dropped=True, anchor_evidence=given.evidence)
    if state.phase == DROPPING:
        return releasing.finish(state, now)
    return releasing.conclude(state, now) if state.phase == POST_SCRIPT else (state, ())


def filesystems_held(state: State, given: FilesystemsHeld, now: int) -> Step:
    """Say that everything is held."""
    attempt = state.attempt
    if attempt is None or state.phase != FREEZING or attempt.generation != given.generation:
        return state, ()
    script = (Hold(SCRIPT, attempt.pre.path),) if attempt.pre is not None and attempt.pre.started else ()
    held = script + attempt.held + given.held
    state = change(state, held=held, not_held=attempt.not_held + given.not_held)
    if not held:
        failure = Failure("nothing_to_hold", "There is no script and no filesystem that can be held.")
        return releasing.let_go(state, BY_AGENT, failure, now)
    return telling.quiesced(state, now)


def freeze_failed(state: State, given: FreezeFailed, now: int) -> Step:
    """Let go: a filesystem is not frozen."""
    attempt = state.attempt
    if attempt is None or attempt.generation != given.generation or state.phase not in (PREPARING, FREEZING):
        return state, ()
    return releasing.let_go(state, BY_AGENT, Failure(given.reason, given.detail), now)


def filesystems_released(state: State, given: FilesystemsReleased, now: int) -> Step:
    """Go on after the filesystems: with the applications."""
    attempt = state.attempt
    if attempt is None or state.phase != RELEASING or attempt.generation != given.generation:
        return state, ()
    return releasing.thawed(state, given.evidence, now)
