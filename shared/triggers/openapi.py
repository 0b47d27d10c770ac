"""The OpenAPI 3.1 document of the HTTP API. Tests compare it with the functions that are registered."""

from typing import Any

from shared.engine.run_listing import RunState
from shared.saga.consistency import Grade
from shared.storage.findings import FindingKind
from shared.storage.point_records import PointState
from shared.triggers import (
    concurrency_schemas,
    document_schemas,
    group_schemas,
    group_view_schemas,
    health_view_schemas,
    notice_schemas,
    point_schemas,
    policy_view_schemas,
    preflight_schemas,
    problem_schemas,
    run_view_schemas,
    saga_view_schemas,
    timeline_schemas,
)
from shared.triggers.examples import HOLD, POLICY, RETENTION, RUN_OF_POLICY, RUN_OF_VMS
from shared.triggers.queries import LARGEST_LIMIT, LONGEST_CONTINUATION, LONGEST_TEXT, USUAL_LIMIT
from shared.triggers.requests import LARGEST_BODY, LONGEST_KEY
from shared.triggers.rights import ANONYMOUS, Right, right_of
from shared.triggers.schema_parts import Schema, ref
from shared.version import VERSION

_PROBLEM = "application/problem+json"
_ABOUT = f"""Transactionally consistent snapshots of running Azure VMs.

Every function but the page needs a key (header `x-functions-key`) of the right that it names: read, run or
admin. Bodies are JSON in UTF-8, at most {LARGEST_BODY} bytes; whole numbers are written without a fraction,
no member comes twice. Errors are problem details (RFC 9457)."""


def document() -> dict[str, Any]:
    """Give the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stillframe", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/api"}],
        "paths": {
            "/runs": {"get": _list_runs(), "post": _start_run()},
            "/runs/{run}": {"parameters": [_RUN], "get": _get_run()},
            "/runs/{run}/timeline": {"parameters": [_RUN], "get": _get_timeline()},
            "/runs/{run}/vms/{vm}": {"parameters": [_RUN, _VM], "get": _get_vm()},
            "/runs/{run}/cancel": {"parameters": [_RUN], "post": _cancel_run()},
            "/policies": {"get": _list_policies()},
            "/policies/validate": {"post": _validate_policy()},
            "/policies/preview": {"post": _try_policy()},
            "/policies/{policy}/preview": {"parameters": [_POLICY], "get": _preview_policy()},
            "/schemas/policy.json": {"get": _get_policy_schema()},
            "/runs/{run}/retry": {"parameters": [_RUN], "post": _retry_run()},
            "/rehearsals": {"post": _start_rehearsal()},
            "/rehearsals/{run}": {"parameters": [_RUN], "get": _get_rehearsal()},
            "/policies/{policy}": {
                "parameters": [_POLICY],
                "get": _get_policy(),
                "put": _put_policy(),
                "delete": _delete_policy(),
            },
            "/preflight": {"get": _preflight_vm(), "post": _preflight_run()},
            "/recovery-points": {"get": _list_points()},
            "/recovery-points/rebuild": {"post": _rebuild_points()},
            "/recovery-points/{point}": {
                "parameters": [_POINT],
                "get": _get_point(),
                "delete": _delete_point(),
            },
            "/recovery-points/{point}/hold": {"parameters": [_POINT], "post": _hold_point()},
            "/recovery-points/{point}/release": {"parameters": [_POINT], "post": _release_point()},
            "/retention/{policy}": {"parameters": [_POLICY], "get": _preview_retention()},
            "/retention/{policy}/try": {"parameters": [_POLICY], "post": _try_retention()},
            "/retention/{policy}/apply": {"parameters": [_POLICY], "post": _apply_retention()},
            "/reconciliation": {"get": _get_reconciliation(), "post": _reconcile()},
            "/reconciliation/{finding}": {"parameters": [_FINDING], "delete": _delete_orphan()},
            "/health": {"get": _health()},
            "/openapi.json": {"get": _get_api()},
            "/ui": {"get": _page()},
            "/ui/{file}": {"parameters": [_FILE], "get": _page_files()},
        },
        "webhooks": notice_schemas.webhooks(),
        "components": {
            "schemas": document_schemas.schemas()
            | concurrency_schemas.schemas()
            | group_schemas.schemas()
            | group_view_schemas.schemas()
            | run_view_schemas.schemas()
            | saga_view_schemas.schemas()
            | policy_view_schemas.schemas()
            | problem_schemas.schemas()
            | health_view_schemas.schemas()
            | point_schemas.schemas()
            | notice_schemas.schemas()
            | preflight_schemas.schemas()
            | timeline_schemas.schemas(),
            "securitySchemes": {
                right.value: {"type": "apiKey", "in": "header", "name": "x-functions-key"} for right in Right
            },
        },
    }


def _list_runs() -> Schema:
    moment = {"type": "string", "format": "date-time"}
    filters = [
        _in_query("policy", ref("PolicyName"), "Runs of this policy."),
        _in_query("state", {"enum": list(RunState)}, "Runs in this state."),
        _in_query("since", moment, "Those that began then or later."),
        _in_query("until", moment, "Those that began before."),
        *_PAGE,
    ]
    answers = {"200": _answer("Runs, newest first.", "Runs"), **_problems(400)}
    return _operation("list_runs", "Find runs", answers, parameters=filters)


def _retry_run() -> Schema:
    accepted = _answer("Another run over the VMs that failed is started.", "Accepted", "Location")
    answers = {
        "202": accepted,
        **_problems(400, 404),
        "409": _refused("The run goes on, or none of its VMs failed."),
        "422": _refused("The key was used for another request."),
    }
    return _operation(
        "retry_run", "Try the VMs of an ended run that failed again", answers, parameters=[_KEY]
    )


def _start_run() -> Schema:
    return _starting("start_run", "Start a run of a stored policy, or of named VMs", "get_run")


def _start_rehearsal() -> Schema:
    told = "Hold the VMs as a run of a stored policy, or of named VMs, would; snapshot nothing"
    return _starting("start_rehearsal", told, "get_rehearsal")


def _get_rehearsal() -> Schema:
    answers = {"200": _answer("The rehearsal and how its VMs were held.", "Rehearsal"), **_problems(400, 404)}
    return _operation("get_rehearsal", "Show a rehearsal: how long each application was held", answers)


def _starting(function: str, summary: str, shown_by: str) -> Schema:
    accepted = _answer(
        "The run is written down, and its VMs are being started.", "Accepted", "Location"
    ) | _leads_to("run", "$response.body#/run", shown_by, "cancel_run")
    return _operation(
        function,
        summary,
        {
            "202": accepted,
            **_problems(400, 413, 415),
            "404": _refused("There is no such policy."),
            "422": _refused("The key was used for another request."),
        },
        parameters=[_KEY],
        requestBody=_body("RunRequest", RUN_OF_POLICY=RUN_OF_POLICY, RUN_OF_VMS=RUN_OF_VMS),
    )


def _get_run() -> Schema:
    answers = {"200": _answer("The run and its VMs.", "Run"), **_problems(400, 404)}
    return _operation("get_run", "Show a run", answers)


def _get_timeline() -> Schema:
    answers = {
        "200": _answer("A page of its VMs.", "RunTimeline", "ETag"),
        "304": {"description": "Nothing has changed since the version that If-None-Match names."},
        **_problems(400, 404),
    }
    about = "Show a run's VMs on one time axis: phases, freeze windows, snapshots"
    return _operation("get_timeline", about, answers, parameters=[*_PAGE, _SINCE])


def _get_vm() -> Schema:
    told = "The run has more than one VM of this name: ask by saga."
    answers = {"200": _answer("The VM.", "Vm"), **_problems(400, 404), "409": _refused(told)}
    return _operation("get_vm", "Show a VM of a run: state, evidence, history", answers)


def _cancel_run() -> Schema:
    answers = {"202": _answer("Its guests resume first.", "Accepted", "Location"), **_problems(400, 404)}
    return _operation("cancel_run", "Cancel a run; again changes nothing", answers)


def _preflight_vm() -> Schema:
    vm = _in_query("vm", ref("VmId"), "The ARM id of the VM, its slashes as %2F.") | {"required": True}
    policy = _in_query("policy", ref("PolicyName"), "The policy whose settings count; without it the usual.")
    told = "What would stop a run over the VM, what would weaken it, and what is well."
    answers = {"200": _answer(told, "Preflight"), **_problems(400), "404": _refused("No such policy.")}
    return _operation(
        "preflight_vm", "Look at a VM before a run; changes nothing", answers, parameters=[vm, policy]
    )


def _preflight_run() -> Schema:
    answers = {
        "200": _answer("The same of each VM of the request.", "Preflights"),
        **_problems(400, 413, 415),
        "404": _refused("There is no such policy."),
    }
    return _operation(
        "preflight_run",
        "Look at the VMs of a run that is only asked for to see; changes nothing",
        answers,
        requestBody=_body("RunRequest", RUN_OF_VMS=RUN_OF_VMS),
    )


def _get_policy() -> Schema:
    answers = {"200": _answer("The policy.", "StoredPolicy", "ETag"), **_problems(400, 404)}
    return _operation("get_policy", "Show a policy", answers)


def _put_policy() -> Schema:
    stored = _answer("The policy as it is stored.", "StoredPolicy", "ETag") | _leads_to(
        "policy", "$response.body#/policy", "get_policy", "delete_policy"
    )
    return _operation(
        "put_policy",
        "Store a policy; with If-Match only over the version that it names",
        {"200": stored, **_problems(400, 412, 413, 415)},
        parameters=[_IF_MATCH],
        requestBody=_document_body(),
    )


def _list_policies() -> Schema:
    answers = {"200": _answer("Policies, by their names.", "Policies"), **_problems(400)}
    return _operation("list_policies", "List policies and their next times", answers, parameters=[*_PAGE])


def _validate_policy() -> Schema:
    answers = {"200": _answer("It is valid.", "ValidPolicy"), **_problems(400, 413, 415)}
    body = _document_body()
    return _operation("validate_policy", "Check a policy; nothing is stored", answers, requestBody=body)


def _preview_policy() -> Schema:
    answers = {"200": _answer("What it would do now.", "PolicyPreview"), **_problems(400, 404)}
    told = "Show which VMs a policy selects now and why, and its next times"
    return _operation("preview_policy", told, answers, parameters=[_PAGE[0]])


def _try_policy() -> Schema:
    answers = {"200": _answer("What it would do now.", "PolicyPreview"), **_problems(400, 413, 415)}
    told = "Show the same for a policy that is not stored"
    return _operation("try_policy", told, answers, parameters=[_PAGE[0]], requestBody=_document_body())


def _get_policy_schema() -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "A JSON Schema (2020-12).", "content": content}
    return _operation("get_policy_schema", "Show the schema of a policy", {"200": answer})


def _document_body() -> Schema:
    body = _body("Policy", POLICY=POLICY)
    body["content"]["application/yaml"] = {"schema": ref("Policy")}
    return body


def _delete_policy() -> Schema:
    gone = {"description": "It is removed; its runs and recovery points stay."}
    answers = {"204": gone, **_problems(400, 404, 412)}
    return _operation("delete_policy", "Remove a policy", answers, parameters=[_IF_MATCH])


def _list_points() -> Schema:
    moment = {"type": "string", "format": "date-time"}
    filters = [
        _in_query(
            "vm", {"type": "string", "maxLength": LONGEST_TEXT, "pattern": r"\S"}, "Id or name of a VM."
        ),
        _in_query("policy", ref("PolicyName"), "The name of a policy."),
        _in_query("since", moment, "Those created then or later."),
        _in_query("until", moment, "Those created before."),
        _in_query("grade", {"enum": list(Grade)}, "Those of this grade."),
        _in_query("state", {"enum": list(PointState)}, "Those in this state; else all but the deleted."),
        *_PAGE,
    ]
    answers = {"200": _answer("Recovery points, newest first.", "RecoveryPoints"), **_problems(400)}
    return _operation("list_points", "Find recovery points", answers, parameters=filters)


def _get_point() -> Schema:
    answers = {"200": _answer("The recovery point.", "WholeRecoveryPoint"), **_problems(400, 404)}
    return _operation("get_point", "Show a recovery point with its evidence", answers)


def _hold_point() -> Schema:
    told = "It is deleted, or has an immutable hold that is longer."
    answers = {"200": _answer("It is held.", "RecoveryPoint"), **_problems(400, 404, 413, 415)}
    answers["409"] = _refused(told)
    body = _body("Hold", HOLD=HOLD)
    return _operation("hold_point", "Keep it, whatever retention says", answers, requestBody=body)


def _release_point() -> Schema:
    answers = {"200": _answer("It is not held.", "RecoveryPoint"), **_problems(400, 404)}
    answers["409"] = _refused("Its hold is immutable, and its time has not come.")
    return _operation("release_point", "Let retention decide about it again", answers)


def _delete_point() -> Schema:
    newest = _in_query("newest", {"enum": ["allow"]}, "Said where it may be the newest good one.")
    answers = {"202": _answer("It is being deleted.", "RecoveryPoint"), **_problems(400, 404)}
    answers["409"] = _refused("It is held, or it is the newest good one.")
    return _operation("delete_point", "Delete a recovery point", answers, parameters=[newest])


def _rebuild_points() -> Schema:
    answers = {
        "200": _answer("What was found, and what was done or would be.", "Rebuilt"),
        **_problems(400, 413, 415, 502),
    }
    example = {"subscription": "00000000-0000-0000-0000-000000000001", "resource_group": "snapshots"}
    body = _body("Rebuild", REBUILD=example)
    told = "Rebuild lost records of recovery points from their tags"
    return _operation("rebuild_points", told, answers, parameters=[_PAGE[-1]], requestBody=body)


def _preview_retention() -> Schema:
    answers = {
        "200": _answer("What would go, what not, and why.", "RetentionPreview"),
        **_problems(400, 404, 502),
    }
    answers["409"] = _refused("The policy says nothing of retention.")
    return _operation("preview_retention", "Say what retention would do now", answers, parameters=_PAGE)


def _try_retention() -> Schema:
    answers = {
        "200": _answer("What would go by these rules, what stays, and why.", "RetentionPreview"),
        **_problems(400, 413, 415, 502),
    }
    body = _body("RetentionToTry", RETENTION={"retention": RETENTION})
    told = "Say what other rules would do to the recovery points of a policy; deletes nothing"
    return _operation("try_retention", told, answers, parameters=_PAGE, requestBody=body)


def _apply_retention() -> Schema:
    answers = {"202": _answer("It is begun.", "RetentionBegun"), **_problems(400, 404)}
    answers["409"] = _refused("The policy says nothing of retention.")
    return _operation("apply_retention", "Have retention of a policy done now", answers)


def _get_reconciliation() -> Schema:
    kind = _in_query("kind", {"enum": list(FindingKind)}, "Findings of this kind.")
    answers = {"200": _answer("What does not agree.", "Reconciliation"), **_problems(400)}
    told = "Show what does not agree between records and Azure"
    return _operation("get_reconciliation", told, answers, parameters=[kind, *_PAGE])


def _reconcile() -> Schema:
    answers = {"202": _answer("It is begun.", "ReconciliationBegun")}
    return _operation("reconcile", "Compare records and Azure now; deletes nothing", answers)


def _delete_orphan() -> Schema:
    answers = {"200": _answer("It is gone.", "Finding"), **_problems(400, 404, 502)}
    answers["409"] = _refused("It is no orphan (any more), or somebody is using it.")
    return _operation("delete_orphan", "Delete something of Stillframe that no record names", answers)


def _health() -> Schema:
    ill = "Storage or Azure cannot be reached, or a saga is overdue: problems say which."
    answers = {"200": _answer("All is well.", "Health"), "503": _answer(ill, "Health")}
    return _operation("health", "Say how the app is", answers)


def _get_api() -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "An OpenAPI 3.1 document.", "content": content}
    return _operation("get_api", "Show this document", {"200": answer})


def _page() -> Schema:
    content = {"text/html": {"schema": {"type": "string"}}}
    return _file("page", "Show the page", {"200": {"description": "The page.", "content": content}})


def _page_files() -> Schema:
    kinds = ("text/javascript", "text/css", "image/svg+xml")
    content = {kind: {"schema": {"type": "string"}} for kind in kinds}
    answers: dict[str, Schema] = {
        "200": {"description": "The file.", "content": content},
        "404": {"description": "The page has no such file; without a body."},
    }
    return _file("page_files", "Give a file of the page", answers)


def _file(function: str, summary: str, answers: dict[str, Schema]) -> Schema:
    """Describe what needs no key and nothing of the app, and so can only be there or not."""
    known: dict[str, Schema] = {"304": {"description": "It is still the one that If-None-Match names."}}
    answers = dict(sorted((answers | known).items()))
    assert function in ANONYMOUS
    return {"operationId": function, "summary": summary, "security": [], "responses": answers}


def _operation(function: str, summary: str, responses: dict[str, Schema], **more: Any) -> Schema:
    host = {"401": {"description": "No key, or none that opens this; the host answers without a body."}}
    responses = _problems(500, 503) | responses | host
    return {
        "operationId": function,
        "summary": summary,
        "security": [{right_of(function).value: []}],
        **more,
        "responses": dict(sorted(responses.items())),
    }


def _body(schema: str, **examples: Any) -> Schema:
    shown = {name.lower(): {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": ref(schema), "examples": shown}}}


def _answer(description: str, schema: str, *headers: str) -> Schema:
    answer: Schema = {
        "description": description,
        "content": {"application/json": {"schema": ref(schema)}},
    }
    told = {name: {"required": True, "schema": {"type": "string"}} for name in headers}
    return answer | ({"headers": told} if told else {})


def _leads_to(parameter: str, value: str, *functions: str) -> Schema:
    return {"links": {each: {"operationId": each, "parameters": {parameter: value}} for each in functions}}


def _refused(description: str) -> Schema:
    return {"description": description, "content": {_PROBLEM: {"schema": ref("Problem")}}}


def _problems(*statuses: int) -> dict[str, Schema]:
    answers = {str(status): _refused(_TOLD[status]) for status in statuses}
    if "503" in answers:
        retry = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
        answers["503"]["headers"] = retry
    return answers


_TOLD = {
    400: "The request is not valid; field says where.",
    404: "There is none of that name.",
    412: "The policy is not the version that If-Match names.",
    413: "The body is too large.",
    415: "The body is not said to be JSON in UTF-8.",
    502: "Azure refused what was asked of it; the log has it under the id in instance.",
    500: "A defect; the log has it under the id in instance.",
    503: "The storage could not be reached, or asks for patience; the log has it under the id in instance.",
}


def _in_path(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _in_query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_SEGMENT: Schema = {"type": "string", "minLength": 1}
_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request is the same run, however often it is sent.",
    "schema": {"type": "string", "maxLength": LONGEST_KEY, "pattern": "^(?:[!-~](?:[ -~]*[!-~])?)?$"},
}

_RUN = _in_path("run", _SEGMENT, "The id of a run.")
_VM = _in_path("vm", _SEGMENT, "The name of a VM, in any case, or the id of its saga.")
_POINT = _in_path("point", _SEGMENT, "The id of a recovery point.")
_FINDING = _in_path("finding", _SEGMENT, "The id of a finding.")
_PAGE = [
    _in_query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": USUAL_LIMIT},
        "How many items a page may have.",
    ),
    _in_query(
        "continuation",
        {"type": "string", "maxLength": LONGEST_CONTINUATION, "pattern": "^[A-Za-z0-9_-]+$"},
        "The continuation of an earlier answer to the same query.",
    ),
]
_FILE = _in_path("file", _SEGMENT, "The name of a file.")
_POLICY = _in_path("policy", ref("PolicyName"), "The name of a policy.")
_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of the version that is meant, or * for any.",
    "schema": {"type": "string", "pattern": r'^(?:\*|(?:W/)?"[!#-~]*")$'},
}

_SINCE = _in_query(
    "since",
    {"type": "string", "format": "date-time"},
    "Leave out the VMs that ended before; with zone, a plus written %2B.",
)
