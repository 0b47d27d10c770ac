"""Making what a plan says. Done again it goes on where it stopped, and never touches what is not its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.errors import CliError, Code
from cli.restoring.arm import Arm, Begun
from cli.restoring.plan import RESTORED, Plan, Resource


class NameTaken(CliError):
    """There is a resource of this name that this restore did not make."""

    code = Code.REFUSED


class NotRestored(CliError):
    """The restore did not come to its end. ``left`` are the ids of what is there."""

    code = Code.FAILED

    def __init__(self, why: str, left: list[str], *, hint: str) -> None:
        super().__init__(why, hint=hint)
        self.left = left


@dataclass(slots=True)
class Making:
    """Carries out a plan. ``tell`` is told of each resource; ``deadline_s`` is on the clock of ``arm``."""

    arm: Arm
    tell: Callable[[str], None]
    deadline_s: float
    made: list[Resource] = field(default_factory=list)
    found: list[Resource] = field(default_factory=list)

    def carry_out(self, plan: Plan, *, clean_up: bool) -> None:
        """Make everything: first what needs nothing else, all at once, then what needs it.

        Raises:
            NameTaken: before anything is made.
            NotRestored: it ended before the end, and says what is left.
        """
        missing = [each for each in plan.resources if not self._is_there(each)]
        try:
            self._make([each for each in missing if not each.needs])
            self._make([each for each in missing if each.needs])
        except (CliError, KeyboardInterrupt) as error:
            raise self._ended(error, clean_up=clean_up) from error

    def _is_there(self, resource: Resource) -> bool:
        there = self.arm.find(resource.resource_id)
        if there is None:
            return False
        tag = (there.get("tags") or {}).get(RESTORED)
        properties = there.get("properties", {})
        if tag != resource.body["tags"][RESTORED] or not _made_of(properties, resource.body["properties"]):
            raise NameTaken(
                f"{resource.kind} {resource.name} is there, and is not of this restore",
                hint="Give another --name.",
            )
        if properties.get("provisioningState") == "Failed":
            raise NameTaken(
                f"{resource.kind} {resource.name} is there, and failed when it was made",
                hint="Delete it first.",
            )
        self.found.append(resource)
        self.arm.wait(Begun(resource.resource_id, ""), self.deadline_s)  # an earlier call may have begun it
        self.tell(f"there    {resource.kind} {resource.name}")
        return True

    def _make(self, resources: list[Resource]) -> None:
        begun: list[Begun] = []
        for each in resources:
            self.made.append(each)  # before it is asked for: the answer may be lost
            begun.append(self.arm.put(each.resource_id, each.body))
        for each, one in zip(resources, begun, strict=True):
            self.arm.wait(one, self.deadline_s)
            self.tell(f"made     {each.kind} {each.name}")

    def _ended(self, error: CliError | KeyboardInterrupt, *, clean_up: bool) -> NotRestored:
        why = error.sentence if isinstance(error, CliError) else "interrupted"
        hint = getattr(error, "hint", "")
        left = self._cleaned_up() if clean_up else [each.resource_id for each in reversed(self.made)]
        there = [each for each in left if self._may_be_there(each)] + [
            each.resource_id for each in self.found
        ]
        lines = [hint] if hint else []
        if there:
            lines += ["Left, and costing money:", *(f"  {each}" for each in there)]
            lines += ["The same command goes on from there; with --clean-up it takes away what it makes."]
        else:
            lines += ["Nothing of it is left."]
        return NotRestored(why, there, hint="\n".join(lines))

    def _cleaned_up(self) -> list[str]:
        """Delete what this call made, the last first; give what could not be deleted."""
        left = []
        for each in reversed(self.made):
            try:
                self.arm.wait_gone(self.arm.delete(each.resource_id), self.deadline_s)
            except CliError as error:
                self.tell(f"left     {each.kind} {each.name}: {error.sentence}")
                left.append(each.resource_id)
            else:
                self.tell(f"deleted  {each.kind} {each.name}")
        return left

    def _may_be_there(self, resource_id: str) -> bool:
        try:
            return self.arm.find(resource_id) is not None
        except CliError:
            return True


def _made_of(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a disk is made of the same, and a VM of the same disks."""
    return _sources(there) == _sources(wanted)


def _sources(properties: Mapping[str, Any]) -> list[str]:
    storage = properties.get("storageProfile") or {}
    disks = [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]
    ids = [str((disk.get("managedDisk") or {}).get("id", "")) for disk in disks]
    source = str((properties.get("creationData") or {}).get("sourceResourceId", ""))
    return sorted(each.lower() for each in (source, *ids) if each)
