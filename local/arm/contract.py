"""Checks journalled requests and answers against the models of the installed azure-mgmt-compute.

The JSON Schemas are derived at run time from the client library's own model classes, so they move with its
version and nothing is kept here that could grow old. Requests are checked strictly: nothing unknown, nothing
read-only, closed enumerations. Answers are checked as a tolerant reader would: enumerations are open, and
members that no model knows are allowed, as the service sends such.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from local.arm.journal import Exchange
from local.arm.model_schemas import Direction, model_schema
from local.arm.networks import REQUEST_SCHEMA


@dataclass(frozen=True, slots=True)
class Violation:
    """Something in an exchange that the models do not allow; `where` is "request", "response" or "status"."""

    sequence: int
    request: str
    where: str
    json_path: str
    message: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an operation takes and answers: names of models, "list of X", or None for no body.

    The status codes are those that the client library accepts; any other one makes it raise.
    """

    answers: dict[int, str | None]
    takes: str | None = None
    direction: Direction = field(default=Direction.CREATE)


_DELETED: dict[int, str | None] = {200: None, 202: None, 204: None}
NIC = "network interface"
_RUN_COMMANDS = "virtualMachines/{}/runCommands"
_POINTS = "restorePointCollections/{}/restorePoints"

ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/subscriptions"): Endpoint({200: "subscriptions"}),
    ("GET", "virtualMachines"): Endpoint({200: "list of VirtualMachine"}),
    ("GET", "virtualMachines/{}"): Endpoint({200: "VirtualMachine"}),
    ("GET", "virtualMachines/{}/instanceView"): Endpoint({200: "VirtualMachineInstanceView"}),
    ("GET", "disks"): Endpoint({200: "list of Disk"}),
    ("GET", "disks/{}"): Endpoint({200: "Disk"}),
    ("PUT", "disks/{}"): Endpoint({200: "Disk", 202: "Disk"}, "Disk"),
    ("DELETE", "disks/{}"): Endpoint(_DELETED),
    ("PUT", "virtualMachines/{}"): Endpoint({200: "VirtualMachine", 201: "VirtualMachine"}, "VirtualMachine"),
    ("DELETE", "virtualMachines/{}"): Endpoint(_DELETED),
    ("GET", NIC): Endpoint({200: NIC}),
    ("PUT", NIC): Endpoint({200: NIC, 201: NIC}, NIC),
    ("DELETE", NIC): Endpoint(_DELETED),
    ("GET", "snapshots"): Endpoint({200: "list of Snapshot"}),
    ("GET", "snapshots/{}"): Endpoint({200: "Snapshot"}),
    ("PUT", "snapshots/{}"): Endpoint({200: "Snapshot", 202: "Snapshot"}, "Snapshot"),
    ("PATCH", "snapshots/{}"): Endpoint(
        {200: "Snapshot", 202: "Snapshot"}, "SnapshotUpdate", Direction.UPDATE
    ),
    ("DELETE", "snapshots/{}"): Endpoint(_DELETED),
    ("GET", "restorePointCollections"): Endpoint({200: "list of RestorePointCollection"}),
    ("GET", "restorePointCollections/{}"): Endpoint({200: "RestorePointCollection"}),
    ("PUT", "restorePointCollections/{}"): Endpoint(
        {200: "RestorePointCollection", 201: "RestorePointCollection"}, "RestorePointCollection"
    ),
    ("PATCH", "restorePointCollections/{}"): Endpoint(
        {200: "RestorePointCollection"}, "RestorePointCollectionUpdate", Direction.UPDATE
    ),
    ("DELETE", "restorePointCollections/{}"): Endpoint(_DELETED),
    ("GET", f"{_POINTS}/{{}}"): Endpoint({200: "RestorePoint"}),
    ("PUT", f"{_POINTS}/{{}}"): Endpoint({201: "RestorePoint"}, "RestorePoint"),
    ("DELETE", f"{_POINTS}/{{}}"): Endpoint(_DELETED),
    ("GET", f"{_POINTS}/{{}}/diskRestorePoints"): Endpoint({200: "list of DiskRestorePoint"}),
    ("GET", f"{_POINTS}/{{}}/diskRestorePoints/{{}}"): Endpoint({200: "DiskRestorePoint"}),
    ("GET", _RUN_COMMANDS): Endpoint({200: "list of VirtualMachineRunCommand"}),
    ("GET", f"{_RUN_COMMANDS}/{{}}"): Endpoint({200: "VirtualMachineRunCommand"}),
    ("PUT", f"{_RUN_COMMANDS}/{{}}"): Endpoint(
        {200: "VirtualMachineRunCommand", 201: "VirtualMachineRunCommand"}, "VirtualMachineRunCommand"
    ),
    ("DELETE", f"{_RUN_COMMANDS}/{{}}"): Endpoint(_DELETED),
    ("GET", "locations/{}/operations/{}"): Endpoint({200: "operation"}),
    ("GET", "locations/{}/DiskOperations/{}"): Endpoint({200: "operation of Snapshot"}),
}
"""Every operation of the client library that the simulator answers."""

_INNER_PATH = re.compile(r".*/providers/Microsoft\.Compute/(?P<inner>.+)")
_NIC_PATH = re.compile(r".*/providers/Microsoft\.Network/networkInterfaces/[^/]+")

_OPERATION: dict[str, Any] = {
    "type": "object",
    "required": ["status", "startTime", "name"],
    "properties": {
        "status": {"enum": ["InProgress", "Succeeded", "Failed", "Canceled"]},
        "startTime": {"type": "string"},
        "endTime": {"type": "string"},
        "name": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        },
    },
    "if": {"properties": {"status": {"const": "Failed"}}},
    "then": {"required": ["error", "endTime"]},
}

#: "Subscriptions - List" (Microsoft Learn): not of the compute client, so by hand.
_SUBSCRIPTIONS: dict[str, Any] = {
    "type": "object",
    "required": ["value"],
    "properties": {"value": {"type": "array", "items": {"required": ["id", "subscriptionId", "state"]}}},
}


def violations(exchanges: Iterable[Exchange]) -> list[Violation]:
    """Check exchanges and return all that is wrong with them. An empty list is a kept contract."""
    return [violation for exchange in exchanges for violation in _check(exchange)]


def _check(exchange: Exchange) -> Iterator[Violation]:
    endpoint = ENDPOINTS.get((exchange.method, _template(exchange.path)))
    if endpoint is None:
        # Where nothing is known, nothing but an error may come.
        if exchange.status is not None and exchange.status < 400:
            yield _violation(exchange, "status", "$", "answered, but no operation of the client is known")
        return
    yield from _check_request(exchange, endpoint)
    if exchange.status is not None and not exchange.injected:
        yield from _check_answer(exchange, endpoint)


def _check_request(exchange: Exchange, endpoint: Endpoint) -> Iterator[Violation]:
    if endpoint.takes is None:
        if exchange.request_body is not None:
            yield _violation(exchange, "request", "$", "has a body")
        return
    # A request that the simulator refused as malformed may break the rules: the refusal is the check.
    if exchange.status == 400 and not exchange.injected:
        return
    of_nic = endpoint.takes == NIC
    schema = REQUEST_SCHEMA if of_nic else model_schema(endpoint.takes, endpoint.direction)
    yield from _errors(exchange, "request", exchange.request_body, schema)


def _check_answer(exchange: Exchange, endpoint: Endpoint) -> Iterator[Violation]:
    status = exchange.status
    assert status is not None, "only called for requests that were answered"
    if status >= 400:
        yield from _errors(exchange, "response", exchange.response_body, _error_schema())
        return
    if exchange.query.get("monitor") == "true":
        return
    if status not in endpoint.answers:
        accepted = ", ".join(map(str, endpoint.answers))
        yield _violation(exchange, "status", "$", f"{status}, but the client accepts {accepted}")
        return
    answer = endpoint.answers[status]
    if answer is not None:
        yield from _errors(exchange, "response", exchange.response_body, _answer_schema(answer))
    elif exchange.response_body is not None:
        yield _violation(exchange, "response", "$", "has a body")


def _errors(exchange: Exchange, where: str, body: Any, schema: dict[str, Any]) -> Iterator[Violation]:
    for error in Draft202012Validator(schema).iter_errors(body):
        yield _violation(exchange, where, error.json_path, error.message)


def _violation(exchange: Exchange, where: str, json_path: str, message: str) -> Violation:
    return Violation(exchange.sequence, f"{exchange.method} {exchange.path}", where, json_path, message)


def _template(path: str) -> str:
    match = _INNER_PATH.fullmatch(path)
    if _NIC_PATH.fullmatch(path):
        return NIC
    if match is None:
        return path if path == "/subscriptions" else ""
    names = match["inner"].split("/")
    return "/".join("{}" if index % 2 else name for index, name in enumerate(names))


@cache
def _answer_schema(answer: str) -> dict[str, Any]:
    if answer == "operation":
        return _OPERATION
    if answer == NIC:
        return {"type": "object", "required": ["id", "name", "location", "properties"]}
    if answer == "subscriptions":
        return _SUBSCRIPTIONS
    if answer.startswith("operation of "):
        output = model_schema(answer.removeprefix("operation of "), Direction.ANSWER)
        outcome = {"type": "object", "properties": {"output": {"$ref": output["$ref"]}}}
        properties = {**_OPERATION["properties"], "properties": outcome}
        return {**_OPERATION, "properties": properties, "$defs": output["$defs"]}
    if answer.startswith("list of "):
        item = model_schema(answer.removeprefix("list of "), Direction.ANSWER)
        return {
            "type": "object",
            "required": ["value"],
            "properties": {
                "value": {"type": "array", "items": {"$ref": item["$ref"]}},
                "nextLink": {"type": "string"},
            },
            "$defs": item["$defs"],
        }
    return model_schema(answer, Direction.ANSWER)


@cache
def _error_schema() -> dict[str, Any]:
    """Return the schema of an error; beyond its model, a code and a message must be there."""
    schema = model_schema("CloudError", Direction.ANSWER)
    error = {"type": "object", "required": ["code", "message"]}
    strict = {"type": "object", "required": ["error"], "properties": {"error": error}}
    return {"allOf": [strict, {"$ref": schema["$ref"]}], "$defs": schema["$defs"]}
