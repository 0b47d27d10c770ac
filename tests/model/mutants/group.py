"""Faults in how a saga goes along with its group."""

from tests.model.planting import Mutant

MUTANTS = (
    Mutant(
        "a member does not wait until all are held",
        "shared.saga.holding",
        "        return enter_held(state, now, until)\n",
        "        return enter_capturing(state, not_before=now, capture_deadline=until)\n",
        "Its snapshots are made while others still write.",
        caught_by=9,
    ),
    Mutant(
        "a member does not wait until all have their snapshots",
        "shared.saga.holding",
        "    return enter_captured(state, now, until)\n",
        "    assert state.evidence is not None\n"
        "    evidence = replace(state.evidence, all_captured_at=now)\n"
        "    return enter_resuming(replace(state, evidence=evidence), now)\n",
        "It writes on while others are still snapshotted.",
        caught_by=9,
    ),
    Mutant(
        "a member keeps what is not proved",
        "shared.saga.decide",
        "    if as_asked and is_unproved(state) and shares_instant(evidence):\n"
        "        return enter_proved(state, now)\n"
        "    if as_asked and not is_unproved(state):\n",
        "    if as_asked:\n",
        "Its recovery point passes for one of the group's, whatever became of the others.",
        caught_by=9,
    ),
    Mutant(
        "a member falls in silence",
        "shared.saga.grouped",
        "    if fell is None:\n",
        "    if fell is not None or fell is None:\n",
        "The others are held in vain, until their own deadlines.",
        caught_by=9,
    ),
    Mutant(
        "a broken group is kept",
        "shared.saga.grouped",
        "        return Transition(state)\n    return enter_resuming(state, now)\n",
        '        return Transition(replace(state, ending=None, guest_failure=""))\n'
        '    return enter_resuming(replace(state, ending=None, guest_failure=""), now)\n',
        "A member that is told to let go has no reason to discard, and none to end.",
        caught_by=9,
    ),
    Mutant(
        "a member waits for ever",
        "shared.saga.overdue",
        "return join_again(state, now) if now < state.deadline else _watched(let_go(state, now), now)",
        "return join_again(state, max(now, state.deadline - 1) if now < state.deadline else state.deadline - 1)",
        "A group that says nothing any more keeps its members.",
        caught_by=6,
    ),
)
