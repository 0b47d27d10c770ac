"""``stillframe policy ...``."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.errors import BadUsage
from cli.files import read_document
from cli.session import session_of
from cli.shown import Show, counted, moment, name_of, said

commands = typer.Typer(no_args_is_help=True, help="Policies: which VMs, when and how.")

#: Members of a shown policy that are not its own.
_SHOWN = ("policy", "times")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Name = Annotated[str, typer.Argument(help="The policy's name.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]


@commands.command("apply")
def apply(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A JSON or YAML file; - is standard input.")],
    name: Annotated[
        str, typer.Option(help="The policy's name; else the file's member policy, else the file's name.")
    ] = "",
    if_match: Annotated[
        str, typer.Option("--if-match", help="Only over the version with this ETag (policy get shows it).")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it; nothing is stored.")] = False,
) -> None:
    """Store a policy, new or changed."""
    session = session_of(context)
    document = read_document(file)
    named = name or str(document.get("policy") or "") or _stem(file)
    document = _own(document)
    if not _NAME.fullmatch(named):
        raise BadUsage(f"{named or 'no name'}: expected small letters, digits and hyphens; give it by --name")
    with session.client() as client:
        if dry_run:
            answer = client.call("POST", "/policies/validate", "admin", body=document, repeat=True)
        else:
            headers = {"If-Match": if_match} if if_match else {}
            answer = client.call(
                "PUT", f"/policies/{named}", "admin", body=document, headers=headers, repeat=not if_match
            )
    stored = f"is stored, version {answer.headers.get('ETag', '?')}."
    session.show.answer(answer, f"{named} {'is valid; nothing was stored.' if dry_run else stored}")


def _stem(file: str) -> str:
    return "" if file == "-" else Path(file).stem


@commands.command("get")
def get(context: typer.Context, name: Name) -> None:
    """Show a policy as it is stored; its ETag is said on standard error."""
    session = session_of(context)
    with session.client() as client:
        answer = client.get(f"/policies/{quote(name, safe='')}")
    session.show.json(answer)
    session.note(f"ETag: {answer.headers.get('ETag', '?')}")


@commands.command("list")
def list_all(context: typer.Context, limit: Limit = 1_000) -> None:
    """List the policies, and when each runs next."""
    session = session_of(context)
    with session.client() as client:
        page = client.pages("/policies", limit=limit)
    show = session.show
    if show.is_json:
        show.json(page)
        return
    rows = [
        (
            str(each.get("policy") or each.get("name")),
            moment(each.get("next_time") or _next(each)),
            said(each.get("description")),
        )
        for each in page["items"]
    ]
    show.table(("policy", "next", "description"), rows, flexible="description")
    session.note(counted(page, "policy", "policies"))


def _next(policy: dict[str, Any]) -> str | None:
    times = [each["next_time"] for each in policy.get("schedules") or () if each.get("next_time")]
    return min(times, default=None)


@commands.command("delete")
def delete(
    context: typer.Context,
    name: Name,
    if_match: Annotated[str, typer.Option("--if-match", help="Only the version with this ETag.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a policy; its runs and recovery points stay."""
    session = session_of(context)
    if not yes:
        typer.confirm(f"Remove the policy {name}? Its runs and recovery points stay.", abort=True, err=True)
    headers = {"If-Match": if_match} if if_match else {}
    with session.client() as client:
        client.call("DELETE", f"/policies/{quote(name, safe='')}", "admin", headers=headers)
    session.note(f"{name} is removed.")


@commands.command("preview")
def preview(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The policy's name; not with --file.")] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="A policy that is not stored yet.")] = "",
    limit: Limit = 1_000,
) -> None:
    """Show which VMs a policy selects now, and when it runs next; nothing is started."""
    if bool(name) == bool(file):
        raise BadUsage("Give the name of a policy, or --file.")
    session = session_of(context)
    with session.client() as client:
        if file:
            document = _own(read_document(file))
            answer = client.call("POST", "/policies/preview", "admin", body=document, repeat=True)
        else:
            answer = client.get(f"/policies/{quote(name, safe='')}/preview", limit=min(limit, 1_000))
    show = session.show
    if show.is_json:
        show.json(answer)
    else:
        _show_preview(show, answer.body)


def _show_preview(show: Show, body: dict[str, Any]) -> None:
    listed = ("vms", "selected", "excluded", "schedules", "items", "problems")
    show.facts((name, value) for name, value in body.items() if name not in listed)
    for member in ("items", "vms", "selected", "excluded", "problems"):
        found = body.get(member)
        if isinstance(found, list) and found:
            show.line()
            show.line(f"{member} ({len(found)})", style="bold")
            show.table(("VM", "why"), [_vm_row(each) for each in found], flexible="why")
    for schedule in body.get("schedules") or ():
        times = schedule.get("next_times") or [schedule.get("next_time")]
        show.line()
        show.line(f"schedule {schedule.get('name') or ''}".rstrip(), style="bold")
        show.facts((("next", [moment(each) for each in times if each]),))


def _vm_row(vm: Any) -> tuple[str, str]:
    if not isinstance(vm, dict):
        return name_of(str(vm)), "-"
    why = [vm.get("why") or vm.get("rule") or vm.get("reason") or vm.get("sentence")]
    why += [tag.get("sentence") for tag in vm.get("tags") or () if isinstance(tag, dict)]
    return str(vm.get("name") or name_of(str(vm.get("vm") or vm.get("id") or "-"))), said(why)


def _own(document: dict[str, Any]) -> dict[str, Any]:
    """Give a policy without what the app shows beside it: so what ``get`` wrote can be applied again."""
    return {member: value for member, value in document.items() if member not in _SHOWN}
