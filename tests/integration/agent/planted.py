"""Starts the agent as its zipapp does, with one fault planted: planted.py AGENT.PYZ run ...

What is planted is said by the environment, and stays in this process: the dead-man and the handlers'
processes are the zipapp's own. It runs under every Python that the agent is for.

    PLANTED_KILL="before Freeze"    SIGKILL to itself at the first move of this name: `undecided` (it is in
                                    no journal yet), `before` or `after` it is carried out
"""

import os
import signal
import sys
from typing import Any


def kill_at(where: str) -> None:
    """Die at a move."""
    from agent import runner, session  # noqa: PLC0415 - only now the zipapp is on the path

    point, _, name = where.partition(" ")
    react, carry_out = session.react, runner.Agent._carry_out

    def reacted(state: Any, given: Any, now: int) -> Any:
        state, actions = react(state, given, now)
        if point == "undecided" and name in map(name_of, actions):
            die()
        return state, actions

    def carried_out(self: Any, action: Any) -> None:
        meant = name_of(action) == name
        if meant and point == "before":
            die()
        carry_out(self, action)
        if meant and point == "after":
            die()

    session.react = reacted
    runner.Agent._carry_out = carried_out  # type: ignore[method-assign]


def name_of(action: Any) -> str:
    """Name a move: scripts by their phase, acks by what they say."""
    words = [type(action).__name__]
    if words == ["SendAck"]:
        words.append(action.answer.kind)
    elif words in (["RunScript"], ["KillScript"]):
        words.append(action.phase)
    return " ".join(words)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    sys.argv = sys.argv[1:]  # the zipapp and its words: from these it starts its other processes
    sys.path[0] = sys.argv[0]
    if "PLANTED_KILL" in os.environ:
        kill_at(os.environ["PLANTED_KILL"])
    from agent import __main__ as agent  # noqa: PLC0415 - the same

    return agent.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
