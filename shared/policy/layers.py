"""Guest processing in layers: what a policy says of all VMs, of a system, of single VMs and of tags.

Layers lie on each other in the order of the document, the systems' first; what a later one says wins, setting
by setting. Which of them apply is known once preflight has read the VM.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from shared.policy.guest_processing import (
    AgentCredential,
    AgentInstall,
    AgentUse,
    Anchor,
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    Handler,
    OnGuestFailure,
    Script,
)

#: Tags of a resource: name and value. Azure compares names without regard to case, values with it.
Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Settings that a layer changes; None leaves one as it is. ``cleared`` are set to nothing at all."""

    enabled: bool | None = None
    on_guest_failure: OnGuestFailure | None = None
    filesystems: Filesystems | None = None
    pre_script: Script | None = None
    post_script: Script | None = None
    handlers: tuple[Handler, ...] | None = None
    detect_handlers: bool | None = None
    application_aware: ApplicationAware | None = None
    anchor: Anchor | None = None
    freeze_budget_ms: int | None = None
    quiesce_timeout_ms: int | None = None
    arming_timeout_ms: int | None = None
    resume_timeout_ms: int | None = None
    attempts: int | None = None
    agent: AgentUse | None = None
    agent_install: AgentInstall | None = None
    agent_credential: AgentCredential | None = None
    agent_client_id: str | None = None
    cleared: tuple[str, ...] = ()

    @property
    def settings(self) -> frozenset[str]:
        """The names of the settings that these change."""
        return frozenset(self._set()) | set(self.cleared)

    def on(self, base: GuestProcessing) -> GuestProcessing:
        """Give ``base`` with these changes.

        Who names handlers asks for them: an ``application_aware: off`` of before is over.
        """
        nothing: dict[str, Any] = dict.fromkeys(self.cleared)
        changed = replace(base, **self._set(), **nothing)
        asked = bool(self.handlers or self.detect_handlers) and self.application_aware is None
        if asked and base.application_aware is ApplicationAware.OFF:
            return replace(changed, application_aware=ApplicationAware.ON)
        return changed

    def _set(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "cleared"}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Changes for the VMs that fit every condition: the system, one of ``vms``, all of ``tags``.

    An empty condition fits all. Ids of VMs are compared without regard to case. ``over_tags``: it lies over
    what the VM's own tags say, too.
    """

    os: str = ""
    vms: tuple[str, ...] = ()
    tags: Tags = ()
    changes: Changes = field(default_factory=Changes)
    over_tags: bool = False

    def fits_vm(self, vm_id: str) -> bool:
        """Whether the layer may apply to this VM, as far as its id says."""
        return not self.vms or vm_id.lower() in (vm.lower() for vm in self.vms)

    def fits(self, os: str, tags: Mapping[str, str]) -> bool:
        """Whether the layer applies to a VM of this system with these tags (names in small letters)."""
        return (not self.os or self.os == os) and all(
            tags.get(name.lower()) == value for name, value in self.tags
        )


def for_vm(layers: Iterable[Layer], vm_id: str) -> tuple[Layer, ...]:
    """Give the layers that may apply to one VM; its id need not be looked at again."""
    return tuple(replace(layer, vms=()) for layer in layers if layer.fits_vm(vm_id))


def resolve(base: GuestProcessing, layers: Sequence[Layer], os: str, tags: Tags) -> GuestProcessing:
    """Give the guest processing of a VM of this system (``linux``, ``windows``) with these tags.

    ``layers`` are those of this VM (``for_vm``).
    """
    by_name = {name.lower(): value for name, value in tags}
    for layer in layers:
        if layer.fits(os.lower(), by_name):
            base = layer.changes.on(base)
    return base


def anchored_by_default(settings: GuestProcessing, os: str) -> GuestProcessing:
    """Hold all filesystems of a Windows guest by VSS, which has no other way: on all fixed volumes."""
    if os.lower() != "windows" or settings.filesystems is Filesystems.NONE or settings.anchor is not None:
        return settings
    return replace(settings, anchor=Anchor(provider=AnchorProvider.VSS))
