"""Operations of the OpenAPI document: runs, rehearsals, and looking at VMs before a run."""

from shared.engine.run_listing import RunState
from shared.triggers.examples import RUN_OF_POLICY, RUN_OF_VMS
from shared.triggers.operation_parts import (
    PAGE,
    answer_of,
    body_of,
    in_query,
    leads_to,
    operation,
    problems,
    refused,
)
from shared.triggers.requests import LONGEST_KEY
from shared.triggers.schema_parts import MOMENT, Schema, ref

_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request is the same run, however often it is sent.",
    "schema": {"type": "string", "maxLength": LONGEST_KEY, "pattern": "^(?:[!-~](?:[ -~]*[!-~])?)?$"},
}
_SINCE = in_query("since", MOMENT, "Leave out the VMs that ended before; with zone, a plus written %2B.")


def list_runs() -> Schema:
    """Describe ``GET /runs``."""
    filters = [
        in_query("policy", ref("PolicyName"), "Runs of this policy."),
        in_query("state", {"enum": list(RunState)}, "Runs in this state."),
        in_query("since", MOMENT, "Those that began then or later."),
        in_query("until", MOMENT, "Those that began before."),
        *PAGE,
    ]
    answers = {"200": answer_of("Runs, newest first.", "Runs"), **problems(400)}
    return operation("list_runs", "Find runs", answers, parameters=filters)


def retry_run() -> Schema:
    """Describe ``POST /runs/{run}/retry``."""
    accepted = answer_of("Another run over the VMs that failed is started.", "Accepted", "Location")
    answers = {
        "202": accepted,
        **problems(400, 404),
        "409": refused("The run goes on, or none of its VMs failed."),
        "422": refused("The key was used for another request."),
    }
    return operation("retry_run", "Try the VMs of an ended run that failed again", answers, parameters=[_KEY])


def start_run() -> Schema:
    """Describe ``POST /runs``."""
    return _starting("start_run", "Start a run of a stored policy, or of named VMs", "get_run")


def start_rehearsal() -> Schema:
    """Describe ``POST /rehearsals``."""
    told = "Hold the VMs as a run of a stored policy, or of named VMs, would; snapshot nothing"
    return _starting("start_rehearsal", told, "get_rehearsal")


def get_rehearsal() -> Schema:
    """Describe ``GET /rehearsals/{run}``."""
    answers = {
        "200": answer_of("The rehearsal and how its VMs were held.", "Rehearsal"),
        **problems(400, 404),
    }
    return operation("get_rehearsal", "Show a rehearsal: how long each application was held", answers)


def _starting(function: str, summary: str, shown_by: str) -> Schema:
    accepted = answer_of(
        "The run is written down, and its VMs are being started.", "Accepted", "Location"
    ) | leads_to("run", "$response.body#/run", shown_by, "cancel_run")
    return operation(
        function,
        summary,
        {
            "202": accepted,
            **problems(400, 413, 415),
            "404": refused("There is no such policy."),
            "422": refused("The key was used for another request."),
        },
        parameters=[_KEY],
        requestBody=body_of("RunRequest", RUN_OF_POLICY=RUN_OF_POLICY, RUN_OF_VMS=RUN_OF_VMS),
    )


def get_run() -> Schema:
    """Describe ``GET /runs/{run}``."""
    answers = {"200": answer_of("The run and its VMs.", "Run"), **problems(400, 404)}
    return operation("get_run", "Show a run", answers)


def get_timeline() -> Schema:
    """Describe ``GET /runs/{run}/timeline``."""
    answers = {
        "200": answer_of("A page of its VMs.", "RunTimeline", "ETag"),
        "304": {"description": "Nothing has changed since the version that If-None-Match names."},
        **problems(400, 404),
    }
    about = "Show a run's VMs on one time axis: phases, freeze windows, snapshots"
    return operation("get_timeline", about, answers, parameters=[*PAGE, _SINCE])


def get_vm() -> Schema:
    """Describe ``GET /runs/{run}/vms/{vm}``."""
    told = "The run has more than one VM of this name: ask by saga."
    answers = {"200": answer_of("The VM.", "Vm"), **problems(400, 404), "409": refused(told)}
    return operation("get_vm", "Show a VM of a run: state, evidence, history", answers)


def cancel_run() -> Schema:
    """Describe ``POST /runs/{run}/cancel``."""
    answers = {"202": answer_of("Its guests resume first.", "Accepted", "Location"), **problems(400, 404)}
    return operation("cancel_run", "Cancel a run; again changes nothing", answers)


def preflight_vm() -> Schema:
    """Describe ``GET /preflight``."""
    vm = in_query("vm", ref("VmId"), "The ARM id of the VM, its slashes as %2F.") | {"required": True}
    policy = in_query("policy", ref("PolicyName"), "The policy whose settings count; without it the usual.")
    told = "What would stop a run over the VM, what would weaken it, and what is well."
    answers = {"200": answer_of(told, "Preflight"), **problems(400), "404": refused("No such policy.")}
    return operation(
        "preflight_vm", "Look at a VM before a run; changes nothing", answers, parameters=[vm, policy]
    )


def preflight_run() -> Schema:
    """Describe ``POST /preflight``."""
    answers = {
        "200": answer_of("The same of each VM of the request.", "Preflights"),
        **problems(400, 413, 415),
        "404": refused("There is no such policy."),
    }
    return operation(
        "preflight_run",
        "Look at the VMs of a run that is only asked for to see; changes nothing",
        answers,
        requestBody=body_of("RunRequest", RUN_OF_VMS=RUN_OF_VMS),
    )
