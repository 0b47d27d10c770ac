"""How results are written: tables for people, the API's own JSON for programs, notes to standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import Answer
from cli.config import Output

#: Columns of a table that is not for a terminal: a row is a line there, whatever is in it.
_PIPE_WIDTH = 1_000

_STYLES: Mapping[str, str] = {
    "succeeded": "green",
    "healthy": "green",
    "application": "green",
    "ok": "green",
    "degraded": "yellow",
    "warning": "yellow",
    "filesystem": "cyan",
    "crash": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "error": "red",
    "unhealthy": "red",
    "running": "cyan",
    "held": "magenta",
}

Row = Sequence[str]


class Show:
    """Writes results. ``color`` False means none, None that the terminal decides (``NO_COLOR`` counts)."""

    def __init__(self, output: Output, *, color: bool | None = None) -> None:
        no_color = True if color is False else None
        self.output = output
        self.console = Console(no_color=no_color, highlight=False, soft_wrap=False)
        if not self.console.is_terminal:
            self.console.width = _PIPE_WIDTH
        self.notes = Console(stderr=True, no_color=no_color, highlight=False)

    @property
    def is_json(self) -> bool:
        """Whether programs read it."""
        return self.output is Output.JSON

    def json(self, answer: Answer | Any) -> None:
        """Write what the API answered, as it came, or a document made of several answers."""
        text = answer.text if isinstance(answer, Answer) else json.dumps(answer, indent=2)
        if text:
            print(text)

    def answer(self, answer: Answer | Any, line: str) -> None:
        """Write what the API answered for programs, and a line for people."""
        if self.is_json:
            self.json(answer)
        else:
            self.line(line)

    def note(self, text: str, *, style: str = "") -> None:
        """Say something that is no result."""
        self.notes.print(Text(text, style=style))

    def table(self, columns: Sequence[str], rows: Iterable[Row], *, flexible: str = "") -> None:
        """Write a table; only the column ``flexible`` is broken into lines where there is no room."""
        table = Table(box=box.SIMPLE_HEAD if self.console.is_terminal else None, pad_edge=False)
        for column in columns:
            wraps = column == flexible or not flexible
            table.add_column(column, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
        count = 0
        for row in rows:
            table.add_row(*(styled(cell) for cell in row))
            count += 1
        if count:
            self.console.print(table)

    def facts(self, facts: Iterable[tuple[str, Any]]) -> None:
        """Write names and values, a line each; what is empty is left out."""
        shown = [(name, said(value)) for name, value in facts if value not in (None, "", [], {})]
        width = max((len(name) for name, _ in shown), default=0)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for name, value in shown:
            table.add_row(Text(name, style="dim"), styled(value))
        self.console.print(table)

    def line(self, text: str = "", *, style: str = "") -> None:
        """Write a line."""
        self.console.print(Text(text, style=style))


def styled(text: str) -> Text:
    """Give a text in the colour of what it says; never read as markup: it may come from a guest."""
    return Text(text, style=_STYLES.get(text, ""))


def said(value: Any) -> str:
    """Write a value for people."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(said(each) for each in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {said(each)}" for name, each in value.items())
    return str(value)


def counted(page: Mapping[str, Any], one: str, many: str) -> str:
    """Say how many a page has, and whether there are more."""
    count = len(page["items"])
    more = "; there are more: give a higher --limit" if page.get("continuation") else ""
    return f"{count} {one if count == 1 else many}{more}"


def name_of(resource_id: str) -> str:
    """Give the last part of an ARM id."""
    return str(resource_id).rpartition("/")[2]


def moment(text: str | None) -> str:
    """Write a time of the API in the seconds that people read."""
    if not text:
        return "-"
    day, _, time = text.partition("T")
    return f"{day} {time[:8]}Z" if time else text


def window(ms: int | None) -> str:
    """Write a freeze window."""
    if ms is None:
        return "-"
    return f"{ms} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"
