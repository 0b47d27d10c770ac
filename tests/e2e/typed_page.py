"""A page of the documentation, typed into a shell as a reader types it, and compared with what it shows.

A block without a language is typed; one with the language ``text`` is what the blocks before it show: each
of its lines is to come, in this order, among what was said, with any white space for white space and anything
for ``...``.
"""

import asyncio
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<(\w+)$")


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as it is typed, all its lines."""

    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page says that came out of the commands since the last one."""

    lines: tuple[str, ...]


def steps_of(page: Path) -> list[Typed | Shown]:
    """Read the blocks of a page, in their order."""
    found: list[Typed | Shown] = []
    for language, block in _FENCE.findall(page.read_text()):
        if not language:
            found += [Typed(command) for command in _commands(block.splitlines())]
        elif language == "text":
            found.append(Shown(tuple(block.splitlines())))
    return found


def _commands(lines: Sequence[str]) -> Iterator[str]:
    left = iter(lines)
    for line in left:
        command = [line]
        if heredoc := _HEREDOC.search(line):
            for more in left:
                command.append(more)
                if more == heredoc[1]:
                    break
        yield "\n".join(command)


def missing(shown: Shown, said: str) -> list[str]:
    """Give the lines of what a page shows that did not come in this order."""
    left, lacking = iter(said.splitlines()), []
    for line in shown.lines:
        parts = (re.escape(part) for part in " ".join(line.split()).split("..."))
        pattern = re.compile(".*".join(parts).replace(r"\ ", r"\s+"))
        if not any(pattern.fullmatch(" ".join(each.split())) for each in left):
            lacking.append(line)
            left = iter(said.splitlines())
    return lacking


@dataclass
class Shell:
    """A shell that goes on between commands, like a terminal's. ``said`` is what came since ``forget``."""

    process: asyncio.subprocess.Process
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    said: str = ""

    @classmethod
    async def open(cls, folder: Path, environment: Mapping[str, str]) -> "Shell":
        """Start a bash that has read no file of its user."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc"),
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
        )
        return cls(process)

    async def type(self, command: str, within_s: float) -> tuple[int, str]:
        """Type a command; give its exit code and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\nprintf '\\n%s %d\\n' {self.mark} $?\n".encode())
        await self.process.stdin.drain()
        said = await asyncio.wait_for(self.process.stdout.readuntil(f"\n{self.mark} ".encode()), within_s)
        code = int(await self.process.stdout.readline())
        text = said.decode().rpartition(f"\n{self.mark} ")[0]
        self.said += text + "\n"
        return code, text

    def forget(self) -> None:
        """Begin anew with what was said."""
        self.said = ""

    async def close(self) -> None:
        """End the shell."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()
