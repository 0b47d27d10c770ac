"""The app as Azure Functions takes it: a zip of exactly what .funcignore leaves."""

import fnmatch
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from local.package.archives import write_zip

ROOT = Path(__file__).resolve().parents[2]


class UnknownPatternError(Exception):
    """A line of .funcignore is of a kind that is not read here: ``pattern``, on line ``line``."""

    def __init__(self, line: int, pattern: str) -> None:
        super().__init__(
            f".funcignore line {line}: {pattern!r}: expected a name, with * at most, or a folder/"
        )
        self.line = line
        self.pattern = pattern


def write(target: Path, root: Path = ROOT) -> Path:
    """Write the zip of the app in ``root``."""
    return write_zip(target, {name: (root / name).read_bytes() for name in members(root)})


def members(root: Path = ROOT) -> list[str]:
    """Name the files that are deployed.

    Of a git checkout only what git knows: what else lies about is nobody's to ship.

    Raises:
        UnknownPatternError: .funcignore has a line that is not understood.
    """
    patterns = read_patterns((root / ".funcignore").read_text())
    return sorted(name for name in _files(root) if not _is_left_out(PurePosixPath(name), patterns))


def read_patterns(text: str) -> list[str]:
    """Read the lines of a .funcignore, as far as they are names and folders anywhere.

    Raises:
        UnknownPatternError: a line is of another kind.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        if pattern.startswith("!") or "/" in pattern.rstrip("/") or "**" in pattern:
            raise UnknownPatternError(number, pattern)
        found.append(pattern)
    return found


def _is_left_out(path: PurePosixPath, patterns: list[str]) -> bool:
    """Apply the rules of gitignore(5) to a file: a pattern with a final slash matches folders only."""
    for pattern in patterns:
        name = pattern.rstrip("/")
        parts = path.parts[:-1] if pattern.endswith("/") else path.parts
        if any(fnmatch.fnmatchcase(part, name) for part in parts):
            return True
    return False


def _files(root: Path) -> Iterator[str]:
    tracked = _tracked(root)
    if tracked is not None:
        yield from (name for name in tracked if (root / name).is_file())
        return
    for path in root.rglob("*"):
        if path.is_file():
            yield path.relative_to(root).as_posix()


def _tracked(root: Path) -> list[str] | None:
    """Give what git knows of; None where this is no checkout of its own."""
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]
