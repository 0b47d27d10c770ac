"""Ids of compute resources, and the name of the run command that starts an agent.

The names of snapshots are the saga's own (`shared.saga.names`), because the saga decides what is discarded.
"""

from dataclasses import dataclass
from enum import StrEnum

_PROVIDER = "microsoft.compute"


class Kind(StrEnum):
    """The types of resources that Stillframe touches, as ids spell them."""

    VM = "virtualMachines"
    DISK = "disks"
    SNAPSHOT = "snapshots"
    COLLECTION = "restorePointCollections"


@dataclass(frozen=True, slots=True)
class ResourceId:
    """What an ARM id says. Azure compares ids without regard to case."""

    subscription_id: str
    resource_group: str
    kind: Kind
    name: str

    def __str__(self) -> str:
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.Compute/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class RestorePointId:
    """What the ARM id of a restore point says."""

    subscription_id: str
    resource_group: str
    collection: str
    name: str


class InvalidResourceId(ValueError):
    """A text is not the id of a resource of the wanted kind."""

    def __init__(self, text: str, wanted: str) -> None:
        super().__init__(f"not the id of one of Microsoft.Compute/{wanted}: {text!r}")
        self.text = text
        self.wanted = wanted


def parse_id(text: str, wanted: Kind) -> ResourceId:
    """Read an ARM id of a resource that is nested in no other; raises `InvalidResourceId`."""
    match text.split("/"):
        case ["", subs, subscription, groups, group, providers, provider, kind, name] if (
            subs.lower(),
            groups.lower(),
            providers.lower(),
            provider.lower(),
            kind.lower(),
        ) == ("subscriptions", "resourcegroups", "providers", _PROVIDER, wanted.lower()) and all(
            (subscription, group, name)
        ):
            return ResourceId(subscription, group, wanted, name)
    raise InvalidResourceId(text, wanted)


def parse_restore_point_id(text: str) -> RestorePointId:
    """Read the ARM id of a restore point; raises `InvalidResourceId`."""
    collection, _, rest = text.partition("/restorePoints/")
    if not rest or "/" in rest:
        raise InvalidResourceId(text, "restorePointCollections/restorePoints")
    parent = parse_id(collection, Kind.COLLECTION)
    return RestorePointId(parent.subscription_id, parent.resource_group, parent.name, rest)


def is_restore_point(text: str) -> bool:
    """Whether an ARM id is one of a restore point, as the saga writes it."""
    return "/restorePoints/" in text


def scope_of(resource_id: str) -> tuple[str, str]:
    """Give subscription and resource group of any ARM id; raises `InvalidResourceId`."""
    match resource_id.split("/"):
        case ["", subs, subscription, groups, group, *_] if (
            subs.lower() == "subscriptions" and groups.lower() == "resourcegroups" and subscription and group
        ):
            return subscription, group
    raise InvalidResourceId(resource_id, "any kind")


def run_command_name(saga_id: str, generation: int) -> str:
    """Name the run command of one start of an agent.

    It carries the generation, because what a PUT on an existing run command does is an update: whether that
    runs the script again is not promised.
    """
    return f"sf-{saga_id}-g{generation}"
