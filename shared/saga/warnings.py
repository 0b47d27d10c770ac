"""What guests say that a person should look at: kept, told at once, and judged."""

from collections.abc import Sequence
from dataclasses import replace

from shared.saga.evidence import GuestWarning
from shared.saga.state import SagaState, SagaWarning

#: A saga keeps this many; the history has all of them.
MOST_WARNINGS = 50

#: The longest detail (characters) that a saga keeps.
LONGEST_DETAIL = 500


def warned(state: SagaState, said: Sequence[GuestWarning]) -> SagaState:
    """Keep what the guest of the current generation warns of."""
    new = tuple(
        SagaWarning(
            generation=state.generation,
            kind=warning.kind,
            name=warning.name,
            code=warning.code,
            detail=warning.detail[:LONGEST_DETAIL],
        )
        for warning in said
    )
    return replace(state, warnings=(*state.warnings, *new)[:MOST_WARNINGS]) if new else state


def blemish(state: SagaState) -> SagaWarning | None:
    """Give the first warning of the current generation that makes the outcome worse than ``succeeded``.

    What a script does that its own rules call a warning (an exit code, output on stderr, a missing script)
    was foreseen by the operator. Anything else says that an application may need help.
    """
    return next((w for w in state.warnings if w.generation == state.generation and w.kind != "script"), None)
