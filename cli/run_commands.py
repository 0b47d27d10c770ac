"""``stillframe run ...``."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.runs_shown import show_vm
from cli.session import moment_given, session_of
from cli.shown import counted, moment, said
from cli.starting import (
    RUN,
    Key,
    PolicyName,
    Strict,
    Timeout,
    Watching,
    command,
    post,
    show_whole_run,
    tell_started,
    watch_to_end,
)

commands = typer.Typer(no_args_is_help=True, help="Runs: start, watch, look at, cancel, retry.")

Run = Annotated[str, typer.Argument(help="The run's id.")]

commands.command(
    "start", help="Start a run of a policy, of a file's request, or of VMs with default settings."
)(command(RUN, Watching, watched=False))


@commands.command("watch")
def watch_run(context: typer.Context, run: Run, strict: Strict = False, timeout: Timeout = None) -> None:
    """Watch a run until it has ended."""
    session = session_of(context)
    with session.client() as client:
        code = watch_to_end(session, client, run, RUN, strict=strict, timeout_s=timeout)
    raise typer.Exit(code)


@commands.command("show")
def show(
    context: typer.Context,
    run: Run,
    vm: Annotated[str, typer.Argument(help="A VM of it, by its name or its saga's id.")] = "",
) -> None:
    """Show a run, or a VM of it with what happened to it."""
    session = session_of(context)
    with session.client() as client:
        answer = client.get(RUN.path_of(run) + (f"/vms/{quote(vm, safe='')}" if vm else ""))
        if session.show.is_json:
            session.show.json(answer)
        elif vm:
            show_vm(session.show, answer.body)
        else:
            show_whole_run(session, client, dict(answer.body))


@commands.command("list")
def list_runs(
    context: typer.Context,
    policy: PolicyName = "",
    state: Annotated[str, typer.Option(help="Only those in this state, as running or ended.")] = "",
    since: Annotated[str, typer.Option(help="Not older than this: a time, or 12h, 7d.")] = "",
    until: Annotated[str, typer.Option(help="Older than this: a time, or 12h, 7d.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
) -> None:
    """List runs, the newest first."""
    session = session_of(context)
    query: dict[str, Any] = {
        "policy": policy or None,
        "state": state or None,
        "since": moment_given(since, "--since"),
        "until": moment_given(until, "--until"),
    }
    with session.client() as client:
        page = client.pages("/runs", limit=limit, **query)
    if session.show.is_json:
        session.show.json(page)
        return
    rows = [
        (
            str(each["run"]),
            said(each.get("state")),
            said(each.get("policy")),
            moment(each.get("created_at")),
            f"{each.get('vms_ended', '?')}/{each.get('vm_count', '?')}",
            said(each.get("outcomes") or each.get("requested_by")),
        )
        for each in page["items"]
    ]
    session.show.table(("run", "state", "policy", "created", "VMs", "what"), rows, flexible="what")
    session.note(counted(page, "run", "runs"))


@commands.command("cancel")
def cancel(context: typer.Context, run: Run) -> None:
    """Cancel a run; its guests resume first."""
    session = session_of(context)
    with session.client() as client:
        answer = client.call("POST", f"{RUN.path_of(run)}/cancel", "run", repeat=True)
    session.show.answer(answer, f"run {run} is being cancelled; its guests resume first.")


@commands.command("retry")
def retry(
    context: typer.Context,
    run: Run,
    watch: Watching = False,
    idempotency_key: Key = "",
    strict: Strict = False,
    timeout: Timeout = None,
) -> None:
    """Try the VMs of a run again that failed."""
    session = session_of(context)
    with session.client() as client:
        answer = post(client, f"{RUN.path_of(run)}/retry", None, idempotency_key)
        if not watch:
            tell_started(session, answer, RUN)
            return
        code = watch_to_end(session, client, answer["run"], RUN, strict=strict, timeout_s=timeout)
    raise typer.Exit(code)
