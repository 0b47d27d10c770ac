"""Who may write to a file of Windows: access lists, read from the security descriptor definition language.

Pure: what Windows says of a file comes in as text. What an administrator or the system may write is trusted
as root is on Linux.
"""

import re
from typing import Iterator, NamedTuple, Tuple

#: The system, administrators, and the service that owns Windows' own files, by abbreviation and in full.
TRUSTED = frozenset(
    (
        "SY",
        "S-1-5-18",
        "BA",
        "S-1-5-32-544",
        "LA",
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    )
)

#: Who it is that made a thing, which the owner's own entry says already: CREATOR OWNER, OWNER RIGHTS.
_OWNER = ("CO", "S-1-3-0", "OW", "S-1-3-4")

#: Access rights by the two letters that stand for them (ace strings on learn.microsoft.com).
_RIGHTS = {
    "GA": 0x10000000,
    "GW": 0x40000000,
    "FA": 0x1F01FF,
    "FW": 0x120116,
    "KA": 0xF003F,
    "SD": 0x10000,
    "WD": 0x40000,
    "WO": 0x80000,
    "CC": 0x1,
    "DC": 0x2,
    "LC": 0x4,
    "SW": 0x8,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
}

#: Generic all or write, change of the access list or the owner.
_TAKE_OVER = 0x10000000 | 0x40000000 | 0x40000 | 0x80000
#: To a file: write, append, delete. To a folder: add a file, delete what is in it.
CHANGES_FILE = _TAKE_OVER | 0x2 | 0x4 | 0x10000
CHANGES_FOLDER = _TAKE_OVER | 0x2 | 0x40

_PARTS = re.compile(
    r"^O:(?P<owner>S-[\d-]+|[A-Z]{2})?(?:G:(?:S-[\d-]+|[A-Z]{2}))?(?P<dacl>D:.*)?$", re.DOTALL
)
_ENTRY = re.compile(r"\(([^()]*)\)")


class Unreadable(Exception):
    """An access list is of a form that is not known, so that nobody can be ruled out."""


class Writer(NamedTuple):
    """Somebody who may change a thing: a security identifier or its abbreviation, and how."""

    who: str
    how: str


def writers(sddl: str, mask: int, own: str) -> Tuple[Writer, ...]:
    """Give who may change a thing beside the system, administrators and ``own`` (a security identifier).

    Raises:
        Unreadable: the text has another form.
    """
    found = _PARTS.match(sddl)
    if found is None:
        raise Unreadable(sddl[:200])
    trusted = TRUSTED | {own}
    owner, dacl = found.group("owner") or "", found.group("dacl")
    result = [] if owner in trusted else [Writer(owner or "nobody", "owns it")]
    if dacl is None or "NO_ACCESS_CONTROL" in dacl:  # no list at all: everybody may do everything
        return (*result, Writer("everybody", "there is no access list"))
    result += [Writer(who, "may write to it") for who, rights in _granted(dacl) if rights & mask]
    return tuple(w for w in result if w.who not in trusted and w.who not in _OWNER)


def _granted(dacl: str) -> Iterator[Tuple[str, int]]:
    """Give (who, rights) of the entries that allow something; a denial is no relief that is relied on."""
    for text in _ENTRY.findall(dacl):
        fields = text.split(";")
        if len(fields) < 6:
            raise Unreadable(text[:200])
        kind, flags, rights, who = fields[0], fields[1], fields[2], fields[5]
        inherit_only = "IO" in re.findall("..", flags)
        if kind in ("A", "XA", "OA") and not inherit_only:
            yield who, _mask(rights)


def _mask(text: str) -> int:
    if re.match(r"^(0x[0-9A-Fa-f]+|\d+)$", text):
        return int(text, 0)
    pairs = re.findall("..?", text)
    return sum({pair: _RIGHTS.get(pair, 0) for pair in pairs}.values()) if pairs else 0
