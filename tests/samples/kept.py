"""The samples that are kept: what each version wrote, and how the present one differs from the newest."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.samples.shapes import Shape, lost, shape_of

FOLDER = Path(__file__).parent
_NAME = re.compile(r"([a-z]+)(?:\+([0-9]+))?\.json")


class NotAdditive(Exception):
    """The form of an area lost something, or changed it, without a new version."""

    def __init__(self, area: str, paths: list[str]) -> None:
        super().__init__(
            f"{area}: {', '.join(paths[:5])} is gone or another: raise the version of its form in "
            "shared/storage/upcasts.py, and write the step that brings older data up"
        )


def samples(area: str) -> list[tuple[int, int, Path]]:
    """Give version, number and file of all samples of an area, oldest first."""
    found = []
    for path in FOLDER.glob("v*/*.json"):
        named = _NAME.fullmatch(path.name)
        if named and named[1] == area:
            found.append((int(path.parent.name[1:]), int(named[2] or 0), path))
    return sorted(found)


def areas() -> Iterator[str]:
    """Give the names of all areas of which there are samples."""
    yield from sorted({path.name.partition(".")[0].partition("+")[0] for path in FOLDER.glob("v*/*.json")})


def form_of(area: Any) -> Shape:
    """Give the form of what an area has: of each row by its key, of others in the order of their kinds."""
    if not isinstance(area, list):
        return shape_of(area)
    shape: Shape = {}
    for item in area:
        name = _name_of(item)
        for path, kind in shape_of(item).items():
            if not path.endswith(("Key", ".signature")):
                shape[f"{name}{path}"] = kind
    return shape


def version_of(area: Any) -> int:
    """Give the newest version that something in an area says it is of; what says none is of version 1."""
    items = area if isinstance(area, list) else [area]
    said = [item.get("schema") or item.get("stillframe") or item.get("text", {}).get("v") for item in items]
    return max((version for version in said if version), default=1)


def keep(area: str, written: Any) -> Path | None:
    """Keep a sample, if the form is not that of the newest one.

    Raises:
        NotAdditive: the form changed otherwise than by more members, and its version did not.
    """
    version, known = version_of(written), samples(area)
    number = 0
    if known and known[-1][0] == version:
        newest = json.loads(known[-1][2].read_text())
        if form_of(newest) == form_of(written):
            return None
        gone = lost(form_of(newest), form_of(written))
        if gone:
            raise NotAdditive(area, gone)
        number = known[-1][1] + 1
    path = FOLDER / f"v{version}" / (f"{area}+{number}.json" if number else f"{area}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    return path


def _name_of(item: dict[str, Any]) -> str:
    """Tell rows and messages of an area apart."""
    if "PartitionKey" in item:
        detail = item.get("json")
        kind = detail.get("type", "") if isinstance(detail, dict) else ""
        event = detail.get("event", "") if isinstance(detail, dict) and not kind else ""
        return f"{re.sub('[0-9a-f-]*[0-9][0-9a-f-]*', '#', item['RowKey'])}:{kind or event}"
    text = item.get("text")
    return f"{item.get('kind', '')}:{text.get('task', '') if isinstance(text, dict) else ''}"
