"""Reading how a document wants the applications of its VMs to be held."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from shared.policy import combinations
from shared.policy.awareness import read_awareness
from shared.policy.combinations import SYSTEMS, Placed
from shared.policy.fields import DocumentError, Fields
from shared.policy.guest_processing import (
    AgentCredential,
    AgentInstall,
    AgentUse,
    Anchor,
    AnchorProvider,
    Filesystems,
    GuestProcessing,
    Handler,
    HandlerName,
    OnGuestFailure,
)
from shared.policy.layers import Changes, Layer
from shared.policy.script_fields import read_script
from shared.policy.vm_ids import read_vm_ids

#: No application should be held longer; and the capture must fit into host.json's functionTimeout.
LONGEST_FREEZE_MS = 300_000

#: Every combination of them is checked.
MOST_OVERRIDES = 16

#: The agent runs each in a process of its own.
MOST_HANDLERS = 16

_AUTO = "auto"
_SETTINGS = (
    "enabled", "on_guest_failure", "filesystems", "pre_script", "post_script", "handlers", "anchor",
    "freeze_budget_ms", "quiesce_timeout_ms", "arming_timeout_ms", "resume_timeout_ms", "attempts",
    "agent", "agent_install", "agent_credential", "agent_client_id", "application_aware",
)  # fmt: skip
#: Where null means that there is none, also where a layer below has one.
_NULLABLE = ("pre_script", "post_script", "anchor")


_NAME = "guest_processing"


def place_guest(document: Fields, vms: Sequence[str] | None) -> tuple[GuestProcessing, tuple[Placed, ...]]:
    """Read ``guest_processing``: what goes for all VMs, and its layers with where each stands.

    ``vms`` is None when rules say which VMs these are.

    Raises:
        DocumentError: names the field that is wrong, by itself or together with others.
    """
    if not document.has(_NAME):
        return GuestProcessing(), ()
    guest = Fields(document.raw(_NAME), document.at(_NAME), (*_SETTINGS, *SYSTEMS, "overrides"))
    base = _changes(guest).on(GuestProcessing())
    placed = (*_systems(guest), *_overrides(guest, vms))
    combinations.check(guest.path, base, placed, _told_apart(vms, placed))
    return base, placed


def place_layers_over(
    part: Fields, base: GuestProcessing, placed: Sequence[Placed], vms: Sequence[str] | None
) -> tuple[Placed, ...]:
    """Read the ``guest_processing`` of a part of the document (a schedule), which lies over all the rest.

    Raises:
        DocumentError: names the field that is wrong, by itself or together with the rest.
    """
    if not part.has(_NAME):
        return ()
    guest = Fields(part.raw(_NAME), part.at(_NAME), (*_SETTINGS, *SYSTEMS))
    own = (Placed(guest.path, Layer(changes=_changes(guest))), *_systems(guest))
    over = tuple(replace(each, layer=replace(each.layer, over_tags=True)) for each in own)
    combinations.check(guest.path, base, (*placed, *over), _told_apart(vms, placed))
    return over


def _told_apart(vms: Sequence[str] | None, placed: Sequence[Placed]) -> Sequence[str]:
    """Give VMs that stand for all: of those that rules select, the ones that layers name, and any other."""
    if vms is not None:
        return vms
    return (*dict.fromkeys(vm.lower() for each in placed for vm in each.layer.vms), "")


def _systems(guest: Fields) -> list[Placed]:
    return [_system(guest, os) for os in SYSTEMS if guest.has(os)]


def _system(guest: Fields, os: str) -> Placed:
    settings = Fields(guest.raw(os), guest.at(os), _SETTINGS)
    return Placed(settings.path, Layer(os=os, changes=_changes(settings)))


def _overrides(guest: Fields, vms: Sequence[str] | None) -> list[Placed]:
    value = guest.raw("overrides")
    if value is None:
        return []
    at = guest.at("overrides")
    if not isinstance(value, list) or len(value) > MOST_OVERRIDES:
        raise DocumentError(at, f"expected a list of at most {MOST_OVERRIDES} JSON objects")
    return [_override(item, f"{at}[{index}]", vms) for index, item in enumerate(value)]


def _override(value: Any, at: str, vms: Sequence[str] | None) -> Placed:
    override = Fields(value, at, ("vms", "tags", "guest_processing"))
    named = read_vm_ids(override, "vms") if vms is None else override.texts("vms", most=max(1, len(vms)))
    known = {vm.lower() for vm in (named if vms is None else vms)}
    for index, vm in enumerate(named):
        if vm.lower() not in known:
            raise DocumentError(f"{override.at('vms')}[{index}]", "expected one of the document's own vms")
    tags = override.table("tags", most=15, longest=256)
    if not named and not tags:
        raise DocumentError(at, "expected vms or tags: which VMs is it for?")
    if len({name.lower() for name, _ in tags}) < len(tags):
        raise DocumentError(override.at("tags"), "a tag is named twice: Azure ignores the case of its name")
    settings = Fields(override.raw("guest_processing"), override.at("guest_processing"), _SETTINGS)
    return Placed(settings.path, Layer(vms=named, tags=tags, changes=_changes(settings)))


def _changes(guest: Fields) -> Changes:
    """Read the settings that are there. Null where there may be none means none."""

    def whole(name: str, least: int, most: int) -> int | None:
        return guest.whole(name, 0, least=least, most=most) if guest.names(name) else None

    def choice[E: StrEnum](name: str, default: E) -> E | None:
        return guest.choice(name, type(default), default) if guest.names(name) else None

    handlers, detect = _handlers(guest)
    return Changes(
        enabled=guest.flag("enabled", default=True) if guest.names("enabled") else None,
        on_guest_failure=choice("on_guest_failure", OnGuestFailure.FAIL),
        filesystems=choice("filesystems", Filesystems.ALL),
        pre_script=read_script(guest, "pre_script"),
        post_script=read_script(guest, "post_script"),
        handlers=handlers,
        detect_handlers=detect,
        application_aware=read_awareness(guest),
        anchor=_anchor(guest),
        freeze_budget_ms=whole("freeze_budget_ms", 2_000, LONGEST_FREEZE_MS),
        quiesce_timeout_ms=whole("quiesce_timeout_ms", 500, LONGEST_FREEZE_MS),
        arming_timeout_ms=whole("arming_timeout_ms", 5_000, 1_800_000),
        resume_timeout_ms=whole("resume_timeout_ms", 5_000, 1_800_000),
        attempts=whole("attempts", 1, 5),
        agent=choice("agent", AgentUse.AUTO),
        agent_install=choice("agent_install", AgentInstall.UPGRADE),
        agent_credential=choice("agent_credential", AgentCredential.SAS),
        agent_client_id=guest.text("agent_client_id", longest=64) if guest.names("agent_client_id") else None,
        cleared=tuple(name for name in _NULLABLE if guest.names(name) and not guest.has(name)),
    )


def _handlers(guest: Fields) -> tuple[tuple[Handler, ...] | None, bool | None]:
    """Read the handlers: a list of them, or ``auto``."""
    if not guest.names("handlers"):
        return None, None
    value, at = guest.raw("handlers"), guest.at("handlers")
    if value is None:
        return (), False
    if value == _AUTO:
        return (), True
    if not isinstance(value, list) or len(value) > MOST_HANDLERS:
        raise DocumentError(at, f'expected "{_AUTO}", or a list of at most {MOST_HANDLERS} JSON objects')
    return tuple(_handler(item, f"{at}[{index}]") for index, item in enumerate(value)), False


def _handler(value: Any, at: str) -> Handler:
    handler = Fields(value, at, ("name", "mode", "required", "settings"))
    if not handler.has("name"):
        raise DocumentError(handler.at("name"), "expected one of " + ", ".join(HandlerName))
    return Handler(
        name=handler.choice("name", HandlerName, HandlerName.POSTGRESQL),
        mode=handler.text("mode", "", longest=64),
        required=handler.flag("required", default=True),
        settings=handler.table("settings", most=32, longest=256),
    )


def _anchor(guest: Fields) -> Anchor | None:
    if not guest.has("anchor"):
        return None
    anchor = Fields(guest.raw("anchor"), guest.at("anchor"), ("provider", "lifetime_ms", "settings"))
    if not anchor.has("provider"):
        raise DocumentError(anchor.at("provider"), "expected one of " + ", ".join(AnchorProvider))
    default = Anchor(provider=AnchorProvider.VSS).lifetime_ms
    return Anchor(
        provider=anchor.choice("provider", AnchorProvider, AnchorProvider.VSS),
        lifetime_ms=anchor.whole("lifetime_ms", default, least=10_000, most=LONGEST_FREEZE_MS),
        settings=anchor.table("settings", most=32, longest=256),
    )
