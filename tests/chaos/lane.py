"""`python -m tests.chaos.lane SEED [--fault NAME] [--alone]`: rounds, one after the other.

It reads the numbers of rounds from stdin, a line each, and writes a line of JSON for each. An arena serves
many rounds; it is left for a new one after a violation, and for rounds that want another kind of stack.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

from tests.chaos.arena import Arena, Kind, arena
from tests.chaos.choosing import Chosen, choose, named
from tests.chaos.invariants import Violation, agents_leave
from tests.chaos.rounds import Result, do_round
from tests.chaos.trouble import Fault

#: The ledger grows, and with it the time that its check takes.
_ROUNDS_OF_AN_ARENA = 25


class Lane:
    """Does rounds, each on an arena of the kind that it wants."""

    def __init__(self, seed: str, among: Sequence[Fault], *, alone: bool) -> None:
        self._seed = seed
        self._among = among
        self._alone = alone
        self._arena: Arena | None = None
        self._kind: Kind | None = None
        self._opened = AsyncExitStack()

    async def do(self, number: int) -> Result:
        """Do a round; one that ends with an error has violated something as well."""
        chosen = choose(self._seed, number, self._among, alone=self._alone)
        try:
            result = await do_round(await self._arena_for(chosen), chosen)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a round: it goes into the table
            result = Result.broken(chosen, repr(error))
        if result.violations:
            await self._close()
        return result

    async def close(self) -> list[Violation]:
        """Leave the arena; first see its agents leave."""
        if self._arena is None:
            return []
        try:
            return [Violation("agents leave", what) async for what in agents_leave(self._arena)]
        finally:
            await self._close()

    async def _arena_for(self, chosen: Chosen) -> Arena:
        if self._kind is not chosen.kind or (self._arena and self._arena.rounds >= _ROUNDS_OF_AN_ARENA):
            await self._close()
        if self._arena is None:
            self._arena = await self._opened.enter_async_context(arena(chosen.kind))
            self._kind = chosen.kind
        return self._arena

    async def _close(self) -> None:
        self._arena = self._kind = None
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()


async def _serve(lane: Lane) -> None:
    try:
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            _say(asdict(await lane.do(int(line))))
        _say({"left": [asdict(violation) for violation in await lane.close()]})
    finally:
        await lane.close()


def _say(record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.lane")
    parser.add_argument("seed")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Lane(options.seed, named(options.fault), alone=options.alone)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
