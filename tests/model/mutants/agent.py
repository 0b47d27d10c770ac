"""Faults in the agent's session."""

from tests.model.planting import Mutant

MUTANTS = (
    Mutant(
        "repeated commands are taken again",
        "agent.commanding",
        "    if order.sequence == state.last_sequence:\n        return _repeat(state)\n",
        "",
        "A command that comes twice is obeyed twice.",
        caught_by=5,
    ),
    Mutant(
        "the post-script is always owed",
        "agent.releasing",
        "if not attempt.begun or spec is None or attempt.post_ended or attempt.post is not None:",
        "if spec is None or attempt.post_ended or attempt.post is not None:",
        "The post-script runs although the pre-script never began.",
        caught_by=3,
    ),
    Mutant(
        "the post-script is never owed",
        "agent.releasing",
        "if not attempt.begun or spec is None or attempt.post_ended or attempt.post is not None:",
        "if attempt.begun or spec is None or attempt.post_ended or attempt.post is not None:",
        "What the pre-script stopped stays stopped.",
        caught_by=3,
    ),
    Mutant(
        "the post-script comes before the thaw",
        "agent.releasing",
        "    if state.phase in _ON_THEIR_WAY:\n        return state, ()\n    return thaw(state, now)",
        "    if state.phase in _ON_THEIR_WAY:\n        return state, ()\n    return post_script(state, now)",
        "The application is told to go on while its filesystems are frozen, and they stay frozen.",
        caught_by=3,
    ),
    Mutant(
        "a lost dead-man is asked to thaw",
        "agent.releasing",
        "    if attempt.dead_man_lost:\n        return change(state, overdue=0), (ThawOurselves(attempt.generation),)\n",
        "",
        "An agent whose dead-man is gone waits for it to thaw.",
        caught_by=4,
    ),
    Mutant(
        "losing the dead-man passes for the order",
        "agent.releasing",
        "    return let_go(state, BY_AGENT, failure, now)\n\n\ndef conclude",
        '    return let_go(state, "order", failure, now)\n\n\ndef conclude',
        "A guest that was thawed because its dead-man died says that it was held until the order.",
        caught_by=2,
    ),
    Mutant(
        "a restart passes for the order",
        "agent.session",
        "        by = attempt.released_by or BY_RESTART\n    state = change(",
        "        by = attempt.released_by or BY_RESTART\n    by = BY_ORDER\n    state = change(",
        "A guest whose agent died while it was held says that it was held until the order.",
        caught_by=2,
    ),
    Mutant(
        "a running pre-script is left to itself",
        "agent.releasing",
        "        return state, (KillScript(attempt.generation, PRE),)\n    if state.phase in _ON",
        "        return finish(state, now)\n    if state.phase in _ON",
        "A release that finds the pre-script running does not wait for its end, nor runs the post-script.",
        caught_by=3,
    ),
    Mutant(
        "sessions are forgotten",
        "agent.state",
        "past = Past(state.saga, state.last_sequence, state.answer, state.acks, state.closed)",
        "past = Past(state.saga, 0, state.answer, state.acks, state.closed)",
        "A command that comes again after its session has ended begins another one.",
        caught_by=5,
    ),
)
