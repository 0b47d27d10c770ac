"""What may be set of the VSS anchor, checked: nothing of it can become another command of diskshadow."""

import re
from typing import Mapping, NamedTuple, Tuple

from agent.anchors import AnchorRefused

COPY, FULL = "copy", "full"

_VOLUME = re.compile(r'^[A-Za-z]:(?:\\[^\\/:*?"<>|%\r\n]+)*\\?$')
_WRITER = re.compile(r'^[^"%\r\n]{1,200}$')

#: The smallest differences area that Windows makes for a volume of over 500 MB is 320 MB (MB).
_LEAST_FREE_MB = 320


class VssSettings(NamedTuple):
    """``volumes``: () for all fixed ones. Writers are named, or given by their id in braces.

    ``least_free_mb``: room that each volume must have for differences. ``tries``: of the creation, where
    what failed is expected to pass; ``retry_delay_ms`` lies between two.
    """

    volumes: Tuple[str, ...]
    full: bool
    exclude: Tuple[str, ...]
    verify: Tuple[str, ...]
    least_free_mb: int
    tries: int
    retry_delay_ms: int


_NAMES = ("volumes", "backup", "exclude", "verify", "least_free_mb", "tries", "retry_delay_ms")


def read(settings: Mapping[str, str]) -> VssSettings:
    """Read the settings; lists are separated by semicolons.

    Raises:
        AnchorRefused: bad_setting, with the name of the setting and what would be right.
    """
    for name in settings:
        if name not in _NAMES:
            raise _bad(name, "one of " + ", ".join(_NAMES))
    backup = settings.get("backup") or COPY
    if backup not in (COPY, FULL):
        raise _bad("backup", "copy or full")
    volumes = _list(settings, "volumes", _VOLUME, "paths such as C: or D:\\mounted, separated by ;")
    return VssSettings(
        volumes=tuple(v[:1].upper() + v[1:].rstrip("\\") for v in volumes),
        full=backup == FULL,
        exclude=_list(settings, "exclude", _WRITER, "names or ids of writers, separated by ;"),
        verify=_list(settings, "verify", _WRITER, "names or ids of writers, separated by ;"),
        least_free_mb=_whole(settings, "least_free_mb", _LEAST_FREE_MB, 0, 1024 * 1024),
        tries=_whole(settings, "tries", 3, 1, 10),
        # 30 s between tries is what IBM's VSS requester waits where the provider or VSS was busy.
        retry_delay_ms=_whole(settings, "retry_delay_ms", 30_000, 0, 600_000),
    )


def _list(settings: Mapping[str, str], name: str, form: "re.Pattern[str]", expected: str) -> Tuple[str, ...]:
    found = tuple(part.strip() for part in settings.get(name, "").split(";") if part.strip())
    if not all(form.match(part) for part in found):
        raise _bad(name, expected)
    return found


def _whole(settings: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = settings.get(name) or str(default)
    if not text.isdigit() or not least <= int(text) <= most:
        raise _bad(name, "a whole number from {} to {}".format(least, most))
    return int(text)


def _bad(name: str, expected: str) -> AnchorRefused:
    return AnchorRefused("bad_setting", "anchor.settings.{}: expected {}".format(name, expected))
