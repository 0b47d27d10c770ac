"""``stillframe points ...``."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.session import moment_given, session_of
from cli.shown import counted, moment, name_of, said, window

commands = typer.Typer(no_args_is_help=True, help="Recovery points: find, look at, hold, delete.")

Point = Annotated[str, typer.Argument(help="The recovery point's id.")]


@commands.command("list")
def list_points(
    context: typer.Context,
    vm: Annotated[str, typer.Option(help="Of this VM: its ARM id.")] = "",
    policy: Annotated[str, typer.Option("--policy", "-p", help="Made by this policy.")] = "",
    since: Annotated[str, typer.Option(help="Not older than this: a time, or 12h, 7d.")] = "",
    until: Annotated[str, typer.Option(help="Older than this: a time, or 12h, 7d.")] = "",
    grade: Annotated[str, typer.Option(help="application, filesystem or crash.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
) -> None:
    """List recovery points, the newest first."""
    session = session_of(context)
    query: dict[str, Any] = {
        "vm": vm or None,
        "policy": policy or None,
        "since": moment_given(since, "--since"),
        "until": moment_given(until, "--until"),
        "grade": grade or None,
    }
    with session.client() as client:
        page = client.pages("/recovery-points", limit=limit, **query)
    show = session.show
    if show.is_json:
        show.json(page)
        return
    rows = [
        (
            str(each["point"]),
            str(each.get("name") or name_of(each.get("vm", ""))),
            moment(each.get("created_at")),
            said(each.get("grade")),
            window(each.get("freeze_window_ms")),
            _state(each),
        )
        for each in page["items"]
    ]
    show.table(("point", "VM", "created", "grade", "held", "state"), rows, flexible="VM")
    session.note(counted(page, "recovery point", "recovery points"))


def _state(point: dict[str, Any]) -> str:
    return "on hold" if point.get("hold") else said(point.get("state"))


@commands.command("show")
def show_point(context: typer.Context, point: Point) -> None:
    """Show a recovery point: what it is made of, its grade and why."""
    session = session_of(context)
    with session.client() as client:
        answer = client.get(_path(point))
    show, body = session.show, answer.body
    if show.is_json:
        show.json(answer)
        return
    show.facts(
        (
            ("point", body["point"]),
            ("VM", body.get("vm")),
            ("policy", body.get("policy")),
            ("run", body.get("run")),
            ("created", moment(body.get("created_at"))),
            ("state", _state(body)),
            ("hold", body.get("hold")),
            ("outcome", body.get("outcome")),
            ("grade", body.get("grade")),
            ("held for", window(body.get("freeze_window_ms"))),
            ("warnings", body.get("warnings") or None),
            ("why", body.get("reasons") or body.get("why")),
            ("resources", body.get("resources")),
            ("missing", body.get("missing")),
            ("evidence", body.get("evidence_sha256")),
        )
    )


@commands.command("hold")
def hold(
    context: typer.Context,
    point: Point,
    reason: Annotated[str, typer.Option(help="Why it is kept.")],
    until: Annotated[str, typer.Option(help="Until this time; without it until it is released.")] = "",
    immutable: Annotated[
        bool, typer.Option("--immutable", help="Nobody may release it before --until.")
    ] = False,
) -> None:
    """Keep a recovery point whatever retention says."""
    session = session_of(context)
    body = {"reason": reason}
    at = moment_given(until, "--until")
    more = ({"until": at} if at else {}) | ({"immutable": True} if immutable else {})
    with session.client() as client:
        answer = client.call("POST", f"{_path(point)}/hold", "admin", body=body | more, repeat=True)
    session.show.answer(answer, f"{point} is on hold{f' until {moment(at)}' if at else ''}.")


@commands.command("release")
def release(context: typer.Context, point: Point) -> None:
    """Let retention decide about a recovery point again."""
    session = session_of(context)
    with session.client() as client:
        answer = client.call("POST", f"{_path(point)}/release", "admin", repeat=True)
    session.show.answer(answer, f"{point} is no longer on hold.")


@commands.command("delete")
def delete(
    context: typer.Context,
    point: Point,
    newest: Annotated[bool, typer.Option("--newest", help="Even if it is its VM's newest good one.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a recovery point and its snapshots."""
    session = session_of(context)
    if not yes:
        question = f"Delete the recovery point {point} and its snapshots? This cannot be undone."
        typer.confirm(question, abort=True, err=True)
    params = {"newest": "allow"} if newest else None
    with session.client() as client:
        answer = client.call("DELETE", _path(point), "admin", params=params)
    session.show.answer(answer, f"{point} is being deleted.")


def _path(point: str) -> str:
    return f"/recovery-points/{quote(point, safe='')}"
