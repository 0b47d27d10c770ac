"""Genuine commands and acks: those of the house's own saga, and of a guest that could not hold."""

import asyncio
import json
from functools import cache
from typing import Any

from shared import protocol
from shared.engine.queue_names import ACKS
from tests.unit.engine.house import MASTER, VM, House

GUEST_KEY = protocol.vm_key(MASTER, VM)


@cache
def recorded() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the texts of commands and of acks, as they lay in the queues."""
    commands: list[str] = []
    acks: list[str] = []
    for fails in (False, True):
        house = House()
        guest = house.guest()
        guest.script_fails = fails
        guest.warnings = [{"kind": "handler", "name": "postgresql", "code": "slow", "detail": "12 s"}]
        asyncio.run(_through(house))
        acks += [text for queue, text in house.delivered if queue == ACKS]
        commands += [_signed_again(command) for command in guest.commands]
    return tuple(dict.fromkeys(commands)), tuple(dict.fromkeys(acks))


async def _through(house: House) -> None:
    await house.ask()
    await house.settle()


def _signed_again(command: protocol.Command) -> str:
    return protocol.encode_command(command, protocol.session_key(GUEST_KEY, command.saga))


def commands() -> list[dict[str, Any]]:
    """Give genuine commands as documents."""
    return [json.loads(text) for text in recorded()[0]]


def acks() -> list[dict[str, Any]]:
    """Give genuine acks as documents."""
    return [json.loads(text) for text in recorded()[1]]


def signed(document: Any, domain: bytes, saga: str | None = None) -> str | None:
    """Sign any document with the key of the session that it names: its owner is hostile.

    None where that cannot be done: nobody can sign what has no canonical text.
    """
    if not isinstance(document, dict):
        return json.dumps(document)
    saga = str(document.get("saga")) if saga is None else saga
    try:
        key = protocol.session_key(GUEST_KEY, saga)
        document = document | {"signature": protocol._signature(document, domain, key)}
    except (ValueError, RecursionError):
        return None
    return json.dumps(document)
