r"""What is written to diskshadow and vssadmin, and what is read from what they print. Pure.

Their sentences are in the language of the system, and are shown to people at most. What is read is what no
translation changes: identifiers in braces, the aliases that we gave (``%stillframe0%``) and diskshadow's own
``%VSS_SHADOW_SET%``, volumes as ``\\?\Volume{...}\ [C:\]``, names of constants (``VSS_WS_STABLE``,
``No_Writers``), numbers in brackets and HRESULTs in hexadecimal. Their form is that of Microsoft's reference
and of published recordings.
"""

import re
from typing import Dict, List, NamedTuple, Tuple

_GUID = r"\{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}"
_SET = re.compile("(" + _GUID + r")\s+%VSS_SHADOW_SET%|VSS_SHADOW_SET\b[^{\r\n]*(" + _GUID + ")")
_ALIAS = re.compile("(" + _GUID + r")\s+%stillframe(\d+)%|stillframe(\d+)\b[^{\r\n]*(" + _GUID + ")")
_VOLUME = re.compile(r"\\\\\?\\Volume" + _GUID + r"\\\s+\[([^\]\r\n]+)\]")
_HRESULT = re.compile(r"(?<![0-9A-Za-z])(?:0x)?([89][0-9A-Fa-f]{7})(?![0-9A-Za-z])")
_WRITER = re.compile(r"^\s*\* WRITER (.+)$", re.MULTILINE)
_STATUS = re.compile(r"\((VSS_WS_[A-Z_]+)\)")
_CODE = re.compile(r"0x([0-9A-Fa-f]{8})")
_ADMIN_WRITER = re.compile(r"'([^'\r\n]+)'\s*\r?\n(?:[^\r\n\[]*\r?\n){1,3}[^\r\n\[]*\[(\d+)\]", re.MULTILINE)
_SIZE = re.compile(r"([\d.,\u00a0 ]*\d)\s*([KMGT]?)(?:i?B|[oO]|bytes)\b")

GUID = re.compile("^" + _GUID + "$")

#: What of VSS is expected to pass: writes were not flushed or held in time, a veto, a set under way.
TRANSIENT = frozenset((0x80042313, 0x80042314, 0x80042306, 0x80042316))
#: What a writer says that may go well another time: resources, time-out, retryable.
WRITER_RETRYABLE = frozenset((0x800423F1, 0x800423F2, 0x800423F3))
#: An inconsistent set of volumes, and what will not go well another time.
WRITER_FAILED = frozenset((0x800423F0, 0x800423F4))
#: No room for the differences; too many shadow copies of a volume.
NO_ROOM = frozenset((0x8004231F, 0x80042317, 0x80042312))
IN_PROGRESS = 0x80042316

_FINE = ("VSS_WS_STABLE", "VSS_WS_WAITING_FOR_BACKUP_COMPLETE")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class Writer(NamedTuple):
    """A writer as diskshadow tells of it after a creation; ``code`` is an HRESULT, 0 for success."""

    name: str
    status: str
    code: int

    @property
    def failed(self) -> bool:
        """Say whether it did not do its part."""
        return self.code != 0 or self.status not in _FINE


class Created(NamedTuple):
    """What the transcript of a creation shows: ``copies`` are the shadow copies by their number."""

    identity: str
    copies: Dict[int, str]
    volumes: Tuple[str, ...]
    without_writers: bool
    writers: Tuple[Writer, ...]
    codes: Tuple[int, ...]


def creation(
    volumes: Tuple[str, ...], metadata: str, *, full: bool, exclude: Tuple[str, ...], verify: Tuple[str, ...]
) -> str:
    """Write the script that creates one persistent set of shadow copies over ``volumes``."""
    lines = ["set context persistent", 'set metadata "{}"'.format(metadata)]
    lines += ["writer verify {}".format(_quoted(name)) for name in verify]
    lines += ["writer exclude {}".format(_quoted(name)) for name in exclude]
    if full:
        lines.append("begin backup")
    lines += ['add volume "{}" alias stillframe{}'.format(v, i) for i, v in enumerate(volumes)]
    lines += ["create", "list writers status"]
    if full:
        lines.append("end backup")
    return _script(lines)


def listing(identity: str) -> str:
    """Write the script that lists a set."""
    return _script(["list shadows set {}".format(identity)])


def deletion(identity: str) -> str:
    """Write the script that deletes a set."""
    return _script(["delete shadows set {}".format(identity)])


def read_creation(text: str) -> Created:
    """Read what a creation printed."""
    found = _SET.search(text)
    copies: Dict[int, str] = {}
    for match in _ALIAS.finditer(text):
        copies[int(match.group(2) or match.group(3))] = match.group(1) or match.group(4)
    attributes = [line for line in text.splitlines() if "Persistent" in line]
    return Created(
        identity=(found.group(1) or found.group(2)).lower() if found else "",
        copies=copies,
        volumes=read_volumes(text),
        without_writers=any("No_Writers" in line for line in attributes),
        writers=read_writers(text),
        codes=read_codes(text),
    )


def read_volumes(text: str) -> Tuple[str, ...]:
    """Give the volumes that a listing has a shadow copy of, as ``C:``."""
    return tuple(sorted({match.group(1).rstrip("\\") for match in _VOLUME.finditer(text)}))


def read_writers(text: str) -> Tuple[Writer, ...]:
    """Read what ``list writers status`` printed."""
    writers = []
    parts = _WRITER.split(text)
    for name, body in zip(parts[1::2], parts[2::2]):  # noqa: B905 - Python 3.6 has no strict=
        status, code = _STATUS.search(body), _CODE.search(body)
        writers.append(
            Writer(
                name.strip().strip('"'),
                status.group(1) if status else "",
                int(code.group(1), 16) if code else -1,
            )
        )
    return tuple(writers)


def read_codes(text: str) -> Tuple[int, ...]:
    """Give the HRESULTs of failures that a transcript names, in their order."""
    bare = re.sub(_GUID, "", text)
    return tuple(int(match.group(1), 16) for match in _HRESULT.finditer(bare))


def read_states(text: str) -> Dict[str, int]:
    """Read ``vssadmin list writers``: the number of each writer's state (VSS_WRITER_STATE)."""
    return {match.group(1): int(match.group(2)) for match in _ADMIN_WRITER.finditer(text)}


def read_room(text: str) -> Dict[str, int]:
    """Read ``vssadmin list shadowstorage``: bytes that each volume's differences may still take.

    Volumes without a bound, or with a number that is not understood, are left out.
    """
    room: Dict[str, int] = {}
    for block in re.split(r"\r?\n\s*\r?\n", text):
        volumes = re.findall(r"\(([A-Za-z]:)\)", block)
        sizes = [_bytes(m.group(1), m.group(2)) for m in _SIZE.finditer(block)]
        if volumes and len(sizes) == 3:  # used, allocated, at most
            room[volumes[0].upper()] = sizes[2] - sizes[0]
    return room


def _bytes(number: str, unit: str) -> int:
    digits = re.sub("[\u00a0 ]", "", number)
    whole, _, part = digits.replace(",", ".").rpartition(".")
    if not whole:
        return int(part) * _UNITS[unit]
    return int(float(whole.replace(".", "") + "." + part) * _UNITS[unit])


def _quoted(name: str) -> str:
    return name if GUID.match(name) else '"{}"'.format(name)


def _script(lines: List[str]) -> str:
    return "".join(line + "\r\n" for line in lines)
