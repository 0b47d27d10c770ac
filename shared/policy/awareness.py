"""``application_aware``: whether handlers hold applications, and whether anything less will do.

| value | handlers | a recovery point below `application` |
|---|---|---|
| none | as ``handlers`` says | as ``on_guest_failure`` and what was asked for say |
| `off` | none, whatever ``handlers`` of a layer below says | the same |
| `on` | those named; where none are, all that are found | the same |
| `require` | the same as `on` | is a failure of the VM: it is not kept |
"""

from dataclasses import replace

from shared.policy.fields import DocumentError, Fields
from shared.policy.guest_processing import (
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    OnGuestFailure,
)

NAME = "application_aware"


def aware(settings: GuestProcessing, *, azure_can: bool = False) -> GuestProcessing:
    """Give the settings with their handlers as ``application_aware`` has them.

    ``azure_can``: Azure's own VSS holds the applications, where nothing else has to be held by our agent.
    """
    if settings.application_aware is ApplicationAware.OFF:
        return replace(settings, handlers=(), detect_handlers=False)
    unsaid = settings.detect_handlers is None and not settings.handlers
    by_azure = azure_can and settings.pre_script is None and settings.anchor is None
    found = unsaid and not by_azure and settings.application_aware is not None
    detect = bool(settings.detect_handlers) or found
    return replace(settings, detect_handlers=detect)


def read_awareness(guest: Fields) -> ApplicationAware | None:
    """Read ``application_aware`` of one object; None where it is missing.

    Raises:
        DocumentError: it is none of the values, or contradicts what stands beside it.
    """
    if not guest.names(NAME):
        return None
    value = guest.choice(NAME, ApplicationAware, ApplicationAware.ON)
    if value is ApplicationAware.OFF:
        if guest.raw("handlers"):
            raise DocumentError(guest.at("handlers"), f"not together with {NAME}: off, which uses none")
        return value
    if guest.raw("enabled") is False:
        problem = f"{value} not together with enabled: false, by which nothing is held"
        raise DocumentError(guest.at(NAME), problem)
    if value is ApplicationAware.ON and guest.names("handlers") and not guest.raw("handlers"):
        problem = f"not none together with {NAME}: on; leave it out, and those that are found are held"
        raise DocumentError(guest.at("handlers"), problem)
    return value


def kept_all_the_same(settings: GuestProcessing, _os: str) -> str:
    """Say what is wrong where less is to be a failure and to be kept; empty where nothing is."""
    if settings.application_required and settings.on_guest_failure is OnGuestFailure.CONTINUE:
        return f"not continue where {NAME} is require: what is less consistent is a failure then"
    return ""


def never_consistent(settings: GuestProcessing, os: str) -> str:
    """Say why no recovery point can be what is required; empty where one can, as far as settings show.

    Of Windows it is not known here: Azure's or our own VSS holds its applications without being told.
    """
    if not settings.application_required or os != "linux":
        return ""
    known = aware(settings)
    by_handlers = bool(known.handlers or known.detect_handlers)
    by_vss = known.anchor is not None and known.anchor.provider is AnchorProvider.VSS
    if not (by_handlers or by_vss or known.pre_script):
        return (
            "require, and nothing asks an application to hold still: leave handlers out (those that are "
            "found are held), or name some, or a pre_script"
        )
    if known.pre_script and known.filesystems is Filesystems.NONE and known.anchor is None:
        return (
            "require, and what a script holds is not proved while no filesystem is held: set filesystems "
            "to all, or use an anchor"
        )
    return ""
