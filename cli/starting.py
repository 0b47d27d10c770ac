"""Starting a run or a rehearsal: the options that both have, and watching what was started to its end."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.client import Client
from cli.errors import BadUsage, Code
from cli.files import read_document
from cli.interrupts import Interrupts
from cli.rehearsals_shown import show_rehearsal
from cli.runs_shown import exit_code, show_run, unwell
from cli.session import Session, session_of
from cli.watching import Watch

#: VMs whose advice is asked for when a run is shown.
_WHOLES_AT_MOST = 20

File = Annotated[str, typer.Argument(help="A run request, as JSON or YAML; - is standard input.")]
PolicyName = Annotated[str, typer.Option("--policy", "-p", help="A stored policy.")]
Vms = Annotated[
    list[str] | None,
    typer.Option("--vm", help="The ARM id of a VM; may be repeated. With --policy: only these of its VMs."),
]
Watching = Annotated[bool, typer.Option("--watch", "-w", help="Watch it until it has ended.")]
WatchingOrNot = Annotated[bool, typer.Option("--watch/--no-watch", help="Watch until it has ended.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 for warnings of guests too.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Watch for this many seconds at most (then exit 5).")
]
Key = Annotated[
    str, typer.Option("--idempotency-key", help="The same key with the same request is the same run.")
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is started: ``what`` people call it, where the API has it, and how it is shown at its end."""

    what: str
    path: str
    looked_at_with: str
    show: Callable[[Session, Client, dict[str, Any]], None]

    def path_of(self, run: str) -> str:
        """Give the path of one of this kind."""
        return f"{self.path}/{quote(run, safe='')}"


def show_whole_run(session: Session, client: Client, run: dict[str, Any]) -> None:
    """Show a run, with the whole views of VMs that did not end well: they say what to do."""
    found = unwell(run)[:_WHOLES_AT_MOST]
    wholes = {vm["saga"]: client.get(f"{RUN.path_of(run['run'])}/vms/{vm['saga']}").body for vm in found}
    show_run(session.show, run, wholes)


def _show_rehearsal(session: Session, _client: Client, run: dict[str, Any]) -> None:
    show_rehearsal(session.show, run)


RUN = Kind("run", "/runs", "run watch", show_whole_run)
REHEARSAL = Kind("rehearsal", "/rehearsals", "run show", _show_rehearsal)


def command(kind: Kind, watching: Any, *, watched: bool) -> Callable[..., None]:
    """Make the command that starts one of this kind; ``watching`` is its option to watch, and its default."""

    def start(
        context: typer.Context,
        file: File = "",
        policy: PolicyName = "",
        vm: Vms = None,
        watch: watching = watched,
        idempotency_key: Key = "",
        strict: Strict = False,
        timeout: Timeout = None,
    ) -> None:
        session = session_of(context)
        body = _request(file, policy, vm)
        with session.client() as client:
            answer = post(client, kind.path, body, idempotency_key)
            if not watch:
                tell_started(session, answer, kind)
                return
            run = answer["run"]
            begun = f"{kind.what} {run} is started; Ctrl-C leaves it going"
            code = watch_to_end(session, client, run, kind, strict=strict, timeout_s=timeout, begun=begun)
        raise typer.Exit(code)

    return start


def _request(file: str, policy: str, vms: list[str] | None) -> dict[str, Any]:
    if file and (policy or vms):
        raise BadUsage("Give a file, or --policy and --vm, not both.")
    if file:
        return read_document(file)
    if not policy and not vms:
        raise BadUsage("Say what is to be run: --policy NAME, --vm ID, or a file.")
    return ({"policy": policy} if policy else {}) | ({"vms": vms} if vms else {})


def post(client: Client, path: str, body: Any, key: str) -> dict[str, Any]:
    """Start something. There is always a key: an answer that is lost is asked for again."""
    headers = {"Idempotency-Key": key or f"cli-{uuid.uuid4().hex}"}
    answer = client.call("POST", path, "run", body=body, headers=headers, repeat=True)
    return dict(answer.body)


def tell_started(session: Session, answer: dict[str, Any], kind: Kind) -> None:
    """Say what was started, and how to look at it."""
    if session.show.is_json:
        session.show.json(answer)
        return
    run = answer["run"]
    session.show.line(run)
    session.note(f"{kind.what} {run} is started. Look at it with: stillframe {kind.looked_at_with} {run}")


def watch_to_end(
    session: Session,
    client: Client,
    run: str,
    kind: Kind,
    *,
    strict: bool,
    timeout_s: float | None,
    begun: str = "",
) -> Code:
    """Watch until it has ended, show it, and give the exit code."""
    view = _watch(session, client, run, kind, timeout_s, begun)
    if session.show.is_json:
        session.show.json(view)
    else:
        kind.show(session, client, view)
    return exit_code(view, strict=strict)


def _watch(
    session: Session, client: Client, run: str, kind: Kind, timeout_s: float | None, begun: str
) -> dict[str, Any]:
    """Watch; Ctrl-C says how to go on, from the moment on at which ``begun`` is said."""
    path = kind.path_of(run)
    try:
        with Interrupts() as interrupts:
            if begun:
                session.note(begun)
            watch = Watch(client, session.show, path, timeout_s=timeout_s, sleep=interrupts.wait)
            return dict(watch.until_ended())
    except KeyboardInterrupt:
        session.show.note(f"\nThe run goes on. Watch it with: stillframe run watch {run}")
        session.show.note(f"Cancel it with: stillframe run cancel {run}")
        raise typer.Exit(Code.INTERRUPTED) from None
