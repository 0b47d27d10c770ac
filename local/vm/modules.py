"""The kernel modules that a guest needs, in the order in which they can be loaded."""

from __future__ import annotations

import lzma
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")  # in the section .modinfo, see modinfo(8)


def in_order(modules: Path, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return (name, content) of modules and of what they depend on, without what the kernel has built in.

    `modules` is the folder of a kernel's modules.
    """
    files = {_name(path): path for path in sorted(modules.rglob("*.ko*"))}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in files:
            return
        content = _read(files[name])
        for dependency in _dependencies(content):
            load(dependency)
        loaded[name] = content

    for name in wanted:
        load(name)
    return list(loaded.items())


def _dependencies(content: bytes) -> list[str]:
    found = _DEPENDS.search(content)
    return [name for name in found[1].decode().split(",") if name] if found else []


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _read(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
