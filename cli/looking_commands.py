"""``stillframe health`` and ``stillframe preflight``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.errors import Broken, Code
from cli.session import session_of
from cli.shown import Show, moment, said

#: How a finding of a preflight may be called, and whether it stops a backup.
_LEVELS = ("error", "warning", "ok")


def health(
    context: typer.Context,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 if a person should look.")] = False,
) -> None:
    """Say how the app is: exit 3 when it is not well."""
    session = session_of(context)
    with session.client() as client:
        answer = client.call("GET", "/health", "read", taken=(503,), repeat=True)
    show, body = session.show, answer.body
    if not isinstance(body, dict) or "status" not in body:
        raise Broken("what answered /api/health is not Stillframe", hint="Is the URL right?")
    if show.is_json:
        show.json(answer)
    else:
        _show_health(show, body)
    if body["status"] != "healthy":
        raise typer.Exit(Code.FAILED)
    if strict and body.get("attention"):
        raise typer.Exit(Code.WARNED)


def _show_health(show: Show, body: Mapping[str, Any]) -> None:
    show.line(str(body["status"]), style="green" if body["status"] == "healthy" else "bold red")
    show.facts((("version", body.get("version")), ("checked at", moment(body.get("checked_at")))))
    for name, style in (("problems", "red"), ("attention", "yellow")):
        for sentence in body.get(name) or ():
            show.line(f"{name}: {sentence}", style=style)
    checks = dict(body.get("storage") or {})
    checks |= {name: body[name] for name in ("arm", "overdue", "notices", "findings") if name in body}
    rows = [
        (name, "ok" if check.get("ok") else "error", f"{check.get('ms')} ms", said(check.get("error")))
        for name, check in checks.items()
    ]
    show.table(("check", "is", "took", "error"), rows)
    left = {queue: count for queue, count in (body.get("poison") or {}).items() if count}
    notices, findings = body.get("notices") or {}, body.get("findings") or {}
    show.facts(
        (
            ("poison", left),
            ("notices waiting", notices.get("waiting") or None),
            ("notices given up", notices.get("given_up") or None),
            ("findings", {kind: count for kind, count in (findings.get("kinds") or {}).items() if count}),
        )
    )


def preflight(
    context: typer.Context,
    vm: Annotated[str, typer.Argument(help="The ARM id of a VM.")],
    policy: Annotated[str, typer.Option("--policy", "-p", help="As this policy would back it up.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 for warnings.")] = False,
) -> None:
    """Say what would stop or weaken a backup of a VM; nothing is touched. Exit 3 if something stops it."""
    session = session_of(context)
    with session.client() as client:
        answer = client.get("/preflight", vm=vm, policy=policy or None)
    show, body = session.show, answer.body
    findings = body.get("findings") or body.get("items") or body.get("checks") or []
    levels = {_level(each) for each in findings}
    if show.is_json:
        show.json(answer)
    else:
        known = ("findings", "items", "checks")
        show.facts((name, value) for name, value in body.items() if name not in known and _is_plain(value))
        for level in _LEVELS:
            for each in findings:
                if _level(each) == level:
                    _show_finding(show, level, each)
    if "error" in levels:
        raise typer.Exit(Code.FAILED)
    if strict and "warning" in levels:
        raise typer.Exit(Code.WARNED)


def _level(finding: Mapping[str, Any]) -> str:
    return str(finding.get("level") or finding.get("severity") or "ok")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) or value is None


def _show_finding(show: Show, level: str, finding: Mapping[str, Any]) -> None:
    style = {"error": "red", "warning": "yellow"}.get(level, "green")
    show.line(f"{level:8} {finding.get('sentence') or finding.get('code')}", style=style)
    if level != "ok" and finding.get("what_to_do"):
        show.line(f"         {finding['what_to_do']}")
