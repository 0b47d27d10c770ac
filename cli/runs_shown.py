"""A run as a table, and what is to be done about the VMs that did not end well."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cli.errors import Code
from cli.shown import Show, moment, name_of, said, window

View = Mapping[str, Any]

_WORST = ("failed", "cancelled", "degraded", "succeeded", "rehearsed", "")


def show_run(show: Show, run: View, wholes: Mapping[str, View] | None = None) -> None:
    """Show a run; ``wholes`` are the full views of some of its VMs, by their sagas' ids."""
    show.facts(
        (
            ("run", run["run"]),
            ("state", run["state"]),
            ("policy", run.get("policy")),
            ("requested by", run.get("requested_by")),
            ("created", moment(run.get("created_at"))),
            ("VMs", f"{run.get('vms_ended', 0)} of {run.get('vm_count', 0)} ended"),
            ("cancelled", "yes" if run.get("cancel_requested") else None),
        )
    )
    rows = [_row(vm) for vm in worst_first(run.get("vms", ()))]
    show.line()
    show.table(("VM", "outcome", "grade", "held", "warnings", "phase"), rows, flexible="VM")
    for group in run.get("groups", ()):
        show_group(show, group)
    for vm in worst_first(run.get("vms", ())):
        show_trouble(show, vm, (wholes or {}).get(vm["saga"], {}))


def show_group(show: Show, group: View) -> None:
    """Say whether the VMs of a group share one instant."""
    show.line()
    shared = group.get("one_instant") is not False
    show.line(f"group {group['group']}: {group['sentence']}", style="" if shared else "yellow")


def show_trouble(show: Show, vm: View, whole: View) -> None:
    """Say what went wrong with a VM, and what to do; nothing where all is well."""
    if vm.get("outcome") in (None, "succeeded") and not vm.get("problem"):
        return
    problem = whole.get("problem") or vm.get("problem") or {}
    sentence = problem.get("sentence") or vm.get("why") or "no reason was given"
    show.line()
    show.line(f"{vm['name']}: {sentence}", style="bold")
    if problem.get("what_to_do"):
        show.line(f"  {problem['what_to_do']}")
    see = [f"step {problem['step']}"] if problem.get("step") else []
    see += [f"code {problem['code']}"] if problem.get("code") else []
    see += [str(vm.get("href") or "")]
    show.line(f"  ({', '.join(each for each in see if each)})", style="dim")


def show_vm(show: Show, view: View) -> None:
    """Show a VM of a run: what came of it, why, and what happened."""
    show.facts(
        (
            ("VM", view["vm"]),
            ("run", view["run"]),
            ("saga", view["saga"]),
            ("phase", view["phase"]),
            ("outcome", view.get("outcome")),
            ("grade", view.get("grade")),
            ("held for", window(view.get("freeze_window_ms"))),
            ("began", moment(view.get("started_at"))),
            ("ended", moment(view.get("ended_at"))),
            ("why", view.get("reasons")),
            ("notes", view.get("notes")),
            ("recovery point", [point_line(each) for each in view.get("recovery_point", ())]),
            ("warnings", [f"{each['name']}: {each['detail']}" for each in view.get("warnings", ())]),
        )
    )
    problem = view.get("problem")
    if problem:
        show.line()
        show.line(problem["sentence"], style="bold")
        show.line(f"  {problem['what_to_do']}")
    history = view.get("history", ())
    rows = [
        (moment(each["at"])[11:19], f"{each['from']} -> {each['to']}", each["event"], said(each["effects"]))
        for each in history
    ]
    if rows:
        show.line()
        show.table(("at", "step", "because of", "then"), rows)


def point_line(point: View) -> str:
    """Write one resource of a recovery point."""
    resource = point.get("snapshot") or point.get("restore_point") or ""
    return f"{name_of(resource)} ({point.get('completion_percent', 0):g} %)"


def exit_code(run: View, *, strict: bool) -> Code:
    """Give the exit code for a run that has ended."""
    outcomes = {vm.get("outcome") for vm in run.get("vms", ())}
    if outcomes & {"failed", "cancelled", None} or run.get("state") == "failed":
        return Code.FAILED
    apart = any(group.get("one_instant") is False for group in run.get("groups", ()))
    if "degraded" in outcomes or apart or (strict and run.get("warnings")):
        return Code.WARNED
    return Code.WELL


def unwell(run: View) -> Sequence[View]:
    """Give the VMs of a run that a person should look at, the worst first."""
    found = [
        vm
        for vm in run.get("vms", ())
        if vm.get("outcome") not in (None, "succeeded", "rehearsed") or vm.get("problem")
    ]
    return worst_first(found)


def worst_first(vms: Iterable[View]) -> list[View]:
    """Order VMs of a run: what a person should look at first, and then by name."""
    return sorted(vms, key=_order)


def _order(vm: View) -> tuple[int, str]:
    outcome = vm.get("outcome") or ""
    return (_WORST.index(outcome) if outcome in _WORST else 0, str(vm.get("name")))


def _row(vm: View) -> tuple[str, ...]:
    return (
        str(vm["name"]),
        said(vm.get("outcome")),
        said(vm.get("grade")),
        window(vm.get("freeze_window_ms")),
        said(vm.get("warnings") or None),
        said(vm.get("phase")),
    )
