"""`python -m bench.floor_worker`: makes straight-line passes, in a process of its own like the app.

Reads JSON lines: first where Azure and storage are, then one job a line; answers each job with a line.
"""

import asyncio
import contextlib
import json
import secrets
import sys
import time
from dataclasses import asdict
from typing import Any

from bench.lines import LoopbackLine, StorageLine
from bench.straight_line import FloorError, StraightLine
from shared.compute import ClientPool, Compute, ComputeError, credential_for
from shared.engine.orders import Keys
from shared.storage.connection import read_connection


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _work() -> None:
    places = json.loads(await asyncio.to_thread(sys.stdin.readline))
    pool = ClientPool(lambda: credential_for(places["arm"]), endpoint=places["arm"])
    straight = StraightLine(compute=Compute(pool, _now), keys=Keys(secrets.token_bytes(32)), clock=_now)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(pool.close)
        loopback = LoopbackLine()
        await loopback.start()
        opened.push_async_callback(loopback.close)
        storage = StorageLine(read_connection("GuestStorage", places["storage"]), _now)
        opened.push_async_callback(storage.close)
        lines: dict[str, LoopbackLine | StorageLine] = {"loopback": loopback, "storage": storage}
        while text := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(text)
            answer = await _answer(straight, job, lines[job["line"]])
            print(json.dumps(answer), flush=True)


async def _answer(straight: StraightLine, job: dict[str, Any], line: LoopbackLine | StorageLine) -> Any:
    try:
        return asdict(await straight.run(job["session"], job["vm_id"], job["guest"], line))
    except (FloorError, ComputeError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    asyncio.run(_work())
