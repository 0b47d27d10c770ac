"""Everything that can be read once a saga is over, by place, and where in it a secret stands."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from local.arm.operations import API_VERSIONS, Family
from tests.e2e.scene import Machine

_PEEKED = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Something that can be read: ``name`` says what, as a path."""

    name: str
    content: bytes


def leaks(
    places: Iterable[Place],
    secrets: Mapping[str, bytes],
    excused: Callable[[str, Place], bool] = lambda _secret, _place: False,
) -> list[str]:
    """Say which secret stands where, but where it is ``excused``."""
    found = {
        f"{secret} in {place.name}"
        for place in places
        for secret, value in secrets.items()
        if value in place.content and not excused(secret, place)
    }
    return sorted(found)


def spellings(name: str, raw: bytes) -> dict[str, bytes]:
    """Give a key in every form in which it might be written."""
    return {
        f"{name} (raw)": raw,
        f"{name} (hex)": raw.hex().encode(),
        f"{name} (HEX)": raw.hex().upper().encode(),
        f"{name} (base64)": base64.b64encode(raw).rstrip(b"="),
        f"{name} (base64url)": base64.urlsafe_b64encode(raw).rstrip(b"="),
    }


async def everything(*machines: Machine, views: Sequence[Any] = ()) -> list[Place]:
    """Read the host's log, the guests' folders, storage, Azure, and what the API shows."""
    stack = machines[0].stack
    places = [Place("host log", stack.host.log.read_bytes())]
    places += [Place(f"api/{number}", _json(view)) for number, view in enumerate(views)]
    for machine in machines:
        for path in sorted(machine.guest.runtime.rglob("*")):
            if path.is_file():
                name = f"guest/{machine.name}/{path.relative_to(machine.guest.runtime)}"
                places.append(Place(name, path.read_bytes()))
    places += [place async for place in _tables(stack.storage.connection_string)]
    places += [place async for place in _queues(stack.storage.connection_string)]
    resources = stack.world.resources
    places += [
        Place(f"azure/snapshot {item.id.name}", _json(dict(item.tags)))
        for item in resources.snapshots.values()
    ]
    places += [Place("azure/journal", _json(exchange)) for exchange in stack.world.journal.select()]
    return places


async def _tables(connection: str) -> AsyncIterator[Place]:
    async with TableServiceClient.from_connection_string(connection) as service:
        async for table in service.list_tables():
            async for row in service.get_table_client(table.name).list_entities():
                kind = row["RowKey"].partition("-")[0]
                yield Place(f"table/{table.name}/{kind}", _json(dict(row)))


async def _queues(connection: str) -> AsyncIterator[Place]:
    async with QueueServiceClient.from_connection_string(connection) as service:
        async for queue in service.list_queues():
            try:
                peeked = await service.get_queue_client(queue.name).peek_messages(max_messages=_PEEKED)
            except ResourceNotFoundError:
                continue
            for message in peeked:
                text = str(message.content)
                yield Place(f"queue/{queue.name}", text.encode() + b"\n" + _decoded(text))


async def run_commands(machine: Machine) -> list[Place]:
    """Read the run commands of a VM with what they have said, as anybody with a reader's role does."""
    query = {"api-version": API_VERSIONS[Family.COMPUTE], "$expand": "instanceView"}
    headers = {"Authorization": "Bearer a-reader"}
    url = f"{machine.stack.arm_url}{machine.id}/runCommands"
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(url, params=query) as answer:
            listed = await answer.json()
        places = [Place("azure/run commands", _json(listed))]
        for item in listed["value"]:
            async with session.get(f"{url}/{item['name']}", params=query) as answer:
                places.append(Place(f"azure/run command {item['name']}", await answer.read()))
    return places


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _json(value: Any) -> bytes:
    return json.dumps(value, default=str, ensure_ascii=False).encode()
