"""The tables of docs/when-it-goes-wrong.md, made from the code's own.

``python -m tests.unit.saga.advice_page`` writes them into the page.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.saga import advice_by_code
from shared.saga.advice import TOLD

PAGE = Path(__file__).resolve().parents[3] / "docs" / "when-it-goes-wrong.md"

BY_CODE: dict[str, Mapping[str, str]] = {
    "azure": advice_by_code.AZURE,
    "capture": {
        code: what for code, what in advice_by_code.CAPTURE.items() if code not in advice_by_code.AZURE
    },
    "admission": advice_by_code.ADMISSION,
    "unfit": advice_by_code.UNFIT,
    "copy": {code: what for code, what in advice_by_code.COPY.items() if code not in advice_by_code.AZURE},
    "guest": advice_by_code.GUEST,
    "releaser": advice_by_code.RELEASER,
    "proof": advice_by_code.PROOF,
    "warning": advice_by_code.WARNING,
    "lacking": {str(code): what for code, what in advice_by_code.LACKING.items()},
}


def with_tables(page: str) -> str:
    """Give the page with its tables as they should be."""
    for name, lines in tables():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        table = "".join(f"{line}\n" for line in lines)
        before, rest = page.split(begin)
        page = before + begin + table + end + rest.split(end, 1)[1]
    return page


def tables() -> Iterator[tuple[str, list[str]]]:
    """Give the name and the lines of each table."""
    causes = [
        f"| `{cause.value}` | {_plain(advice.happened)} | {_plain(advice.what_to_do)} |"
        for cause, advice in TOLD.items()
    ]
    yield (
        "causes",
        ["| cause | what happened | what to do, where no code says more |", "|---|---|---|", *causes],
    )
    for name, by_code in BY_CODE.items():
        rows = [f"| `{code or '(empty)'}` | {_plain(what)} |" for code, what in by_code.items()]
        yield name, ["| code | what to do |", "|---|---|", *rows]


def _plain(text: str) -> str:
    """Write values as a reader would expect them: VM for the VM's name."""
    named = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), text)
    return (named[:1].upper() + named[1:]).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
