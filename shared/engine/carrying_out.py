"""Carries out the effects of a transition: which effect is whose is in the table below, one handler each.

Each handler may be called twice for the same effect without harm.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from shared.engine.effects.captures import capture, take_restore_point
from shared.engine.effects.cleaning import clean
from shared.engine.effects.copies import check_copies, copy_snapshots
from shared.engine.effects.endings import alert, record_end, watch
from shared.engine.effects.gates import admit, join_barrier, leave, leave_group
from shared.engine.effects.guests import read_facts, send_command, start_agent
from shared.engine.effects.hands import Hands
from shared.saga.effects import (
    Admit,
    Alert,
    Capture,
    CheckCopies,
    Clean,
    CopySnapshots,
    Effect,
    JoinBarrier,
    Leave,
    LeaveGroup,
    ReadFacts,
    RecordEnd,
    SendCommand,
    StartAgent,
    TakeRestorePoint,
    Watch,
)
from shared.saga.events import Event
from shared.saga.state import SagaState


async def carry_out(hands: Hands, state: SagaState, effects: Sequence[Effect]) -> Event | None:
    """Carry out the effects of a transition in order; give the event that answers them, if one does.

    At most one effect of a transition is answered, and it is carried out last.
    """
    answered = [effect for effect in effects if isinstance(effect, _ANSWERED)]
    for effect in effects:
        if effect not in answered:
            await _HANDLERS[type(effect)](hands, state, effect)
    for effect in answered:
        return await _HANDLERS[type(effect)](hands, state, effect)
    return None


_HANDLERS: Mapping[type, Callable[[Hands, SagaState, Any], Awaitable[Event | None]]] = {
    ReadFacts: read_facts,
    StartAgent: start_agent,
    SendCommand: send_command,
    Admit: admit,
    Leave: leave,
    JoinBarrier: join_barrier,
    LeaveGroup: leave_group,
    Capture: capture,
    TakeRestorePoint: take_restore_point,
    CheckCopies: check_copies,
    CopySnapshots: copy_snapshots,
    Clean: clean,
    Alert: alert,
    Watch: watch,
    RecordEnd: record_end,
}


#: Effects that are answered by an event.
_ANSWERED = (
    ReadFacts,
    StartAgent,
    Admit,
    JoinBarrier,
    Capture,
    TakeRestorePoint,
    CheckCopies,
    CopySnapshots,
    Clean,
)
