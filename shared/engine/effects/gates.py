"""A saga asks to be let in before its guest is held, and says where it waits for its group."""

from shared.engine.effects.hands import Hands
from shared.saga.effects import Admit, JoinBarrier, Leave, LeaveGroup
from shared.saga.events import Admitted, Event
from shared.saga.state import Phase, SagaState


async def admit(hands: Hands, state: SagaState, effect: Admit) -> Event:
    """Ask for what holding the guest will need; where nothing is limited everybody is let in."""
    if hands.admission is None:
        return Admitted(effect.generation)
    return await hands.admission.admit(state, effect)


async def leave(hands: Hands, state: SagaState, effect: Leave) -> None:
    """Give back what was reserved, so that the next one may hold its guest."""
    if hands.admission is not None:
        await hands.admission.leave(state, effect)
    if hands.following is not None and state.phase is Phase.COMPLETING:
        await hands.following.guest_goes_on(state)  # the background copies keep no other VM waiting


async def join_barrier(hands: Hands, state: SagaState, effect: JoinBarrier) -> Event | None:
    """Tell the group where its member waits."""
    assert hands.grouping is not None
    return await hands.grouping.join(state, effect)


async def leave_group(hands: Hands, state: SagaState, effect: LeaveGroup) -> None:
    """Tell the group that its member cannot share the instant any more."""
    assert hands.grouping is not None
    await hands.grouping.leave(state, effect)
