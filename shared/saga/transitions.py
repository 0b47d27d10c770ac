"""Which phase may follow which."""

from collections.abc import Mapping

from shared.saga.state import Phase

#: From each phase to those that may follow it. A failure goes forward too: resume first, then decide.
#: ``arming`` is entered again for another generation, ``capturing`` when the saga goes on without its guest.
FOLLOWS: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.PREFLIGHT, Phase.CLEANING}),
    Phase.PREFLIGHT: frozenset({Phase.ARMING, Phase.CAPTURING, Phase.CLEANING}),
    Phase.ARMING: frozenset(
        {Phase.ADMITTING, Phase.ARMED, Phase.QUIESCING, Phase.CAPTURING, Phase.ARMING, Phase.CLEANING}
    ),
    Phase.ADMITTING: frozenset({Phase.ARMED, Phase.QUIESCING, Phase.ARMING, Phase.CLEANING}),
    Phase.ARMED: frozenset({Phase.QUIESCING, Phase.ARMING, Phase.CLEANING}),
    Phase.QUIESCING: frozenset({Phase.HELD, Phase.CAPTURING, Phase.RESUMING, Phase.ARMING, Phase.CLEANING}),
    Phase.HELD: frozenset({Phase.CAPTURING, Phase.CAPTURED, Phase.RESUMING, Phase.ARMING, Phase.CLEANING}),
    Phase.CAPTURING: frozenset(
        {Phase.CAPTURED, Phase.RESUMING, Phase.COMPLETING, Phase.ARMING, Phase.CLEANING}
    ),
    Phase.CAPTURED: frozenset({Phase.RESUMING, Phase.COMPLETING, Phase.ARMING, Phase.CLEANING}),
    Phase.RESUMING: frozenset(
        {Phase.PROVED, Phase.COMPLETING, Phase.ARMING, Phase.CAPTURING, Phase.CLEANING}
    ),
    Phase.PROVED: frozenset({Phase.COMPLETING, Phase.ARMING, Phase.CLEANING}),
    Phase.COMPLETING: frozenset({Phase.COPYING, Phase.CLEANING}),
    Phase.COPYING: frozenset({Phase.CLEANING}),
    Phase.CLEANING: frozenset({Phase.DONE}),
    Phase.DONE: frozenset(),
}


def is_legal(from_phase: Phase, to_phase: Phase) -> bool:
    """Whether a saga may go from one phase to the other; staying is always legal."""
    return from_phase == to_phase or to_phase in FOLLOWS[from_phase]
