"""The lanes: processes that do rounds at the same time, each on a stack of its own."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.stack.app_host import ROOT
from tests.chaos.arena import Kind

_END_WITHIN_S = 420.0

#: A result with its logs is a line.
_LONGEST_LINE = 64 << 20

type Tell = Callable[[dict[str, object]], None]


class Work:
    """The rounds that are left, given out so that lanes seldom change the kind of their stacks."""

    def __init__(self, kinds: Mapping[int, Kind]) -> None:
        self._left = dict(kinds)
        self._at_work: Counter[Kind] = Counter()

    def take(self, last: Kind | None) -> tuple[int, Kind] | None:
        """Give a lane its next round, after one of the kind ``last``."""
        left = Counter(self._left.values())
        if last is not None:
            self._at_work[last] -= 1
        if not left:
            return None
        most = max(left, key=lambda one: left[one] / (1 + self._at_work[one]))
        kind = last if last is not None and last in left else most
        number = next(number for number, one in self._left.items() if one is kind)
        del self._left[number]
        self._at_work[kind] += 1
        return number, kind


async def do_all(work: Work, lanes: int, arguments: Sequence[str], folder: Path, tell: Tell) -> None:
    """Have all rounds done; ``tell`` hears of each. What lanes say on stderr is kept in the folder."""
    async with asyncio.TaskGroup() as group:
        for number in range(lanes):
            group.create_task(_lane(work, arguments, folder / f"lane-{number}.log", tell))


async def _lane(work: Work, arguments: Sequence[str], log: Path, tell: Tell) -> None:
    given = work.take(None)
    if given is None:
        return
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.lane", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=_LONGEST_LINE,
        )
    assert process.stdin
    assert process.stdout
    try:
        while given is not None:
            number, kind = given
            process.stdin.write(f"{number}\n".encode())
            line = await process.stdout.readline()
            if not line:
                tell({"lane ended": number})
                return
            tell(json.loads(line))
            given = work.take(kind)
        process.stdin.close()
        tell(await _last_word(process.stdout))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _last_word(stdout: asyncio.StreamReader) -> dict[str, object]:
    """Read what a lane says of its end: it first sees the agents leave."""
    try:
        async with asyncio.timeout(_END_WITHIN_S):
            line = await stdout.readline()
    except TimeoutError:
        line = b""
    return dict(json.loads(line)) if line else {"lane ended": "its last"}
