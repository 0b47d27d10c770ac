"""What the roles of ``infra/roles`` give, and what requests to Azure need.

The rules by which Azure checks a request are Microsoft's ("Azure permissions for Compute"): the types in the
path and the verb, and for a copy also the right to read its source.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.arm.journal import Exchange
from tests.templates.bicep import BicepFile, commented, text

INFRA = Path(__file__).resolve().parents[2] / "infra"
DEFINITIONS = INFRA / "roles" / "definitions.bicep"

_VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
_SCOPE = re.compile(r"(/subscriptions/[^/]+(?:/resourcegroups/[^/]+)?)(?:/providers/(.+))?", re.IGNORECASE)
#: What Azure asks for on the source of a copy, by the type of the source.
_OPENS = "Microsoft.Compute/{}/beginGetAccess/action"


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """An action at a scope: a resource group or a subscription, as a path in small letters."""

    scope: str
    action: str


def roles(path: Path = DEFINITIONS) -> dict[str, frozenset[str]]:
    """Give the actions of each role, by the name of its list."""
    file = BicepFile(path)
    lists = {name: file.value(name) for name in file.of("var")}
    found = {name: frozenset(action for action, _ in commented(node)) for name, node in lists.items()}
    return {name: actions for name, actions in found.items() if actions}


def assigned(where: str) -> set[str]:
    """Give the names of the roles that ``main.bicep`` assigns in ``onSources`` or ``onTargets``."""
    return set(re.findall(r"roles\.outputs\.(\w+)", text(BicepFile(INFRA / "main.bicep").value(where))))


def needs(exchanges: Iterable[Exchange]) -> set[Need]:
    """Give what the identity behind these requests has to be allowed to do."""
    return {need for exchange in exchanges for need in _needs(exchange)}


def _needs(exchange: Exchange) -> Iterable[Need]:
    found = _SCOPE.fullmatch(exchange.path)
    if found is None or not found[2]:
        return  # the list of subscriptions: it shows to everybody what he may see
    scope, (provider, *parts) = found[1].lower(), found[2].split("/")
    if parts[0] == "locations":
        parts = ["locations", "-", *parts[2:]]
    types = "/".join([provider, parts[0], *parts[2::2]])
    yield Need(scope, f"{types}/{_VERBS[exchange.method]}")
    if exchange.query.get("$expand") == "instanceView" and types.endswith("/virtualMachines"):
        yield Need(scope, f"{types}/instanceView/read")
    yield from _source(exchange.request_body)


def _source(body: Any) -> Iterable[Need]:
    match body:
        case {"properties": {"creationData": {"sourceResourceId": str(source)}}}:
            found = _SCOPE.fullmatch(source)
            assert found is not None, source
            yield Need(found[1].lower(), _OPENS.format(found[2].split("/")[1]))


def verdict(needed: set[Need], given: Mapping[str, Iterable[str]]) -> list[str]:
    """Compare what is needed with what is given at each scope; empty if it is the same."""
    allowed = {Need(scope.lower(), action) for scope, actions in given.items() for action in actions}
    missing = [f"no role gives {need.action} on {need.scope}" for need in sorted(needed - allowed)]
    return missing + [f"nothing needs {need.action} on {need.scope}" for need in sorted(allowed - needed)]
