"""Resource ids. Azure compares them without regard to case and keeps the spelling of the first writer."""

import uuid
from dataclasses import dataclass

_PROVIDER = "Microsoft.Compute"
_NAMESPACE = uuid.UUID("6f1c3bd4-57a5-4d0e-9a83-5b6f3c0f3f11")


@dataclass(frozen=True, slots=True)
class ResourceId:
    """A compute resource in a resource group; `path` alternates types and names, as ids do."""

    subscription: str
    group: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.path[-1]

    @property
    def type(self) -> str:
        """The full type, e.g. Microsoft.Compute/snapshots."""
        return "/".join((_PROVIDER, *self.path[::2]))

    @property
    def full_name(self) -> str:
        """Type and names as error messages spell them, e.g. Microsoft.Compute/snapshots/s1."""
        return "/".join((_PROVIDER, *self.path))

    @property
    def key(self) -> str:
        """The id in lower case: equal for all spellings of one resource."""
        return str(self).lower()

    @property
    def unique_id(self) -> str:
        """A GUID that belongs to this id for good."""
        return str(uuid.uuid5(_NAMESPACE, self.key))

    def child(self, kind: str, name: str) -> "ResourceId":
        """Return the id of a nested resource."""
        return ResourceId(self.subscription, self.group, (*self.path, kind, name))

    def __str__(self) -> str:
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return "/".join((group, "providers", _PROVIDER, *self.path))


class InvalidResourceIdError(ValueError):
    """A text is no id of a compute resource."""

    def __init__(self, text: str) -> None:
        super().__init__(f"not the id of a compute resource: {text!r}")
        self.text = text


def parse_id(text: str) -> ResourceId:
    """Read an id such as /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/disks/D.

    Raises `InvalidResourceIdError`.
    """
    match text.split("/"):
        case ["", subs, subscription, groups, group, providers, provider, *path] if (
            (subs.lower(), groups.lower(), providers.lower(), provider.lower())
            == ("subscriptions", "resourcegroups", "providers", _PROVIDER.lower())
            and path
            and len(path) % 2 == 0
            and all((subscription, group, *path))
        ):
            return ResourceId(subscription, group, tuple(path))
    raise InvalidResourceIdError(text)
