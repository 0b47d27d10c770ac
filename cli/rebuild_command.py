"""``stillframe rebuild-index``: lost records of recovery points, from what Azure still tells."""

from collections import Counter
from typing import Annotated, Any

import typer

from cli.errors import BadUsage, Code
from cli.session import moment_given, session_of
from cli.shown import moment, name_of, said

_PATH = "/recovery-points/rebuild"


def rebuild_index(
    context: typer.Context,
    groups: Annotated[
        list[str],
        typer.Argument(metavar="SUBSCRIPTION/RESOURCE-GROUP...", help="Where the snapshots are."),
    ],
    hold_until: Annotated[
        str, typer.Option(help="Hold what is rebuilt until this time; without it until it is released.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do it. Without this it only says what it would do.")
    ] = False,
) -> None:
    """Rebuild the catalogue of recovery points from tags. Records that are there stay as they are."""
    session = session_of(context)
    until = moment_given(hold_until, "--hold-until")
    scopes = [_scope(group) for group in groups]
    found: list[dict[str, Any]] = []
    with session.client() as client:
        for scope in scopes:
            body = {**scope, "apply": yes, **({"hold_until": until} if until else {})}
            following: str | None = None
            while True:
                params = {"continuation": following} if following else None
                # It may be repeated: what is written already is known then.
                page = client.call("POST", _PATH, "admin", body=body, params=params, repeat=True).body
                found += page["items"]
                following = page["continuation"]
                if not following:
                    break
    show = session.show
    if show.is_json:
        show.json({"applied": yes, "items": found})
    else:
        rows = [
            (
                str(each["point"]),
                name_of(each["vm"] or "") or "-",
                moment(each["created_at"]),
                said(each["grade"]),
                each["action"],
                f"{each['why']}{_lacking(each)}",
            )
            for each in found
        ]
        show.table(("point", "VM", "created", "grade", "action", "why"), rows, flexible="why")
    counts = Counter(str(each["action"]) for each in found)
    told = ", ".join(f"{count} {action}" for action, count in sorted(counts.items())) or "nothing was found"
    session.note(f"{told}. {'Done.' if yes else 'Nothing was written. With --yes it is.'}")
    if yes and counts["skip"]:
        raise typer.Exit(Code.WARNED)


def _scope(text: str) -> dict[str, str]:
    subscription, _, group = text.partition("/")
    if not subscription or not group or "/" in group:
        raise BadUsage(f"{text}: expected SUBSCRIPTION/RESOURCE-GROUP")
    return {"subscription": subscription, "resource_group": group}


def _lacking(found: dict[str, Any]) -> str:
    return f"; nothing was found of {', '.join(found['lacking'])}" if found["lacking"] else ""
