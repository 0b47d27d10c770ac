"""``stillframe run ...`` and ``stillframe rehearse``."""

import uuid
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.client import Client
from cli.errors import BadUsage, Code
from cli.files import read_document
from cli.rehearsals_shown import show_rehearsal
from cli.runs_shown import exit_code, show_run, show_vm, unwell
from cli.session import Session, moment_given, session_of
from cli.shown import counted, moment, said
from cli.watching import Watch

commands = typer.Typer(no_args_is_help=True, help="Runs: start, watch, look at, cancel, retry.")

#: VMs whose advice is asked for when a run is shown.
_WHOLES_AT_MOST = 20

Run = Annotated[str, typer.Argument(help="The run's id.")]
File = Annotated[str, typer.Argument(help="A run request, as JSON or YAML; - is standard input.")]
PolicyName = Annotated[str, typer.Option("--policy", "-p", help="A stored policy.")]
Vms = Annotated[
    list[str] | None,
    typer.Option("--vm", help="The ARM id of a VM; may be repeated. With --policy: only these of its VMs."),
]
Watching = Annotated[bool, typer.Option("--watch", "-w", help="Watch it until it has ended.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 for warnings of guests too.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Watch for this many seconds at most (then exit 5).")
]
Key = Annotated[
    str, typer.Option("--idempotency-key", help="The same key with the same request is the same run.")
]


@commands.command("start")
def start(
    context: typer.Context,
    file: File = "",
    policy: PolicyName = "",
    vm: Vms = None,
    watch: Watching = False,
    idempotency_key: Key = "",
    strict: Strict = False,
    timeout: Timeout = None,
) -> None:
    """Start a run of a policy, of a file's request, or of VMs with default settings."""
    session = session_of(context)
    body = _request(file, policy, vm)
    with session.client() as client:
        answer = _start(client, "/runs", body, idempotency_key)
        run = answer["run"]
        if not watch:
            _told_started(session, answer)
            return
        begun = f"run {run} is started; Ctrl-C leaves it going"
        code = _watched(session, client, run, strict=strict, timeout_s=timeout, begun=begun)
    raise typer.Exit(code)


@commands.command("watch")
def watch_run(context: typer.Context, run: Run, strict: Strict = False, timeout: Timeout = None) -> None:
    """Watch a run until it has ended."""
    session = session_of(context)
    with session.client() as client:
        code = _watched(session, client, run, strict=strict, timeout_s=timeout)
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
        answer = client.get(_path(run) + (f"/vms/{quote(vm, safe='')}" if vm else ""))
        if session.show.is_json:
            session.show.json(answer)
        elif vm:
            show_vm(session.show, answer.body)
        else:
            show_run(session.show, answer.body, _wholes(client, answer.body))


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
        answer = client.call("POST", f"{_path(run)}/cancel", "run", repeat=True)
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
        answer = _start(client, f"{_path(run)}/retry", None, idempotency_key)
        if not watch:
            _told_started(session, answer)
            return
        code = _watched(session, client, answer["run"], strict=strict, timeout_s=timeout)
    raise typer.Exit(code)


def rehearse(
    context: typer.Context,
    file: File = "",
    policy: PolicyName = "",
    vm: Vms = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Watch until it has ended.")] = True,
    idempotency_key: Key = "",
    strict: Strict = False,
    timeout: Timeout = None,
) -> None:
    """Hold applications as a backup would, without a snapshot, and say how long that takes."""
    session = session_of(context)
    body = _request(file, policy, vm)
    with session.client() as client:
        answer = _start(client, "/rehearsals", body, idempotency_key)
        if not watch:
            _told_started(session, answer, "rehearsal")
            return
        begun = f"rehearsal {answer['run']} is started; Ctrl-C leaves it going"
        run = _watch(session, client, answer["run"], f"/rehearsals/{answer['run']}", timeout, begun)
        if session.show.is_json:
            session.show.json(run)
        else:
            show_rehearsal(session.show, run)
    raise typer.Exit(exit_code(run, strict=strict))


def _path(run: str) -> str:
    return f"/runs/{quote(run, safe='')}"


def _request(file: str, policy: str, vms: list[str] | None) -> dict[str, Any]:
    if file and (policy or vms):
        raise BadUsage("Give a file, or --policy and --vm, not both.")
    if file:
        return read_document(file)
    if not policy and not vms:
        raise BadUsage("Say what is to be run: --policy NAME, --vm ID, or a file.")
    return ({"policy": policy} if policy else {}) | ({"vms": vms} if vms else {})


def _start(client: Client, path: str, body: Any, key: str) -> dict[str, Any]:
    """Start something. There is always a key: an answer that is lost is asked for again."""
    headers = {"Idempotency-Key": key or f"cli-{uuid.uuid4().hex}"}
    answer = client.call("POST", path, "run", body=body, headers=headers, repeat=True)
    return dict(answer.body)


def _told_started(session: Session, answer: dict[str, Any], what: str = "run") -> None:
    if session.show.is_json:
        session.show.json(answer)
        return
    session.show.line(answer["run"])
    watch = "run watch" if what == "run" else "run show"
    session.note(f"{what} {answer['run']} is started. Look at it with: stillframe {watch} {answer['run']}")


def _watched(
    session: Session, client: Client, run: str, *, strict: bool, timeout_s: float | None, begun: str = ""
) -> Code:
    """Watch a run until it has ended, show it, and give the exit code."""
    view = _watch(session, client, run, _path(run), timeout_s, begun)
    if session.show.is_json:
        session.show.json(view)
    else:
        show_run(session.show, view, _wholes(client, view))
    return exit_code(view, strict=strict)


def _watch(
    session: Session, client: Client, run: str, path: str, timeout_s: float | None, begun: str = ""
) -> dict[str, Any]:
    """Watch; Ctrl-C says how to go on, from the moment on at which ``begun`` is said."""
    try:
        if begun:
            session.note(begun)
        return dict(Watch(client, session.show, path, timeout_s=timeout_s).until_ended())
    except KeyboardInterrupt:
        session.show.note(f"\nThe run goes on. Watch it with: stillframe run watch {run}")
        session.show.note(f"Cancel it with: stillframe run cancel {run}")
        raise typer.Exit(Code.INTERRUPTED) from None


def _wholes(client: Client, run: dict[str, Any]) -> dict[str, Any]:
    """Ask for the whole views of VMs that did not end well: they say what to do."""
    found = unwell(run)[:_WHOLES_AT_MOST]
    return {vm["saga"]: client.get(f"{_path(run['run'])}/vms/{vm['saga']}").body for vm in found}
