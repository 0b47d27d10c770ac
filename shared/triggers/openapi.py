"""The OpenAPI 3.1 document of the HTTP API: its paths, and which schemas it has.

The operations are in ``*_operations.py``, the schemas in ``*_schemas.py``, each by what they are about. Tests
compare the document with the functions that are registered.
"""

from typing import Any

from shared.triggers import (
    app_operations,
    concurrency_schemas,
    document_schemas,
    group_schemas,
    group_view_schemas,
    health_view_schemas,
    notice_schemas,
    point_operations,
    point_schemas,
    policy_operations,
    policy_view_schemas,
    preflight_schemas,
    problem_schemas,
    run_operations,
    run_view_schemas,
    saga_view_schemas,
    timeline_schemas,
)
from shared.triggers.requests import LARGEST_BODY
from shared.triggers.rights import Right
from shared.triggers.schema_parts import Schema, ref
from shared.version import VERSION

_ABOUT = f"""Transactionally consistent snapshots of running Azure VMs.

Every function but the page needs a key (header `x-functions-key`) of the right that it names: read, run or
admin. Bodies are JSON in UTF-8, at most {LARGEST_BODY} bytes; whole numbers are written without a fraction,
no member comes twice. Errors are problem details (RFC 9457).

No call is counted. Where Azure or the storage ask for patience, the answer is 503 with Retry-After; the host
may answer 429 by itself while all its instances are busy."""


def _in_path(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


_SEGMENT: Schema = {"type": "string", "minLength": 1}
_RUN = _in_path("run", _SEGMENT, "The id of a run.")
_VM = _in_path("vm", _SEGMENT, "The name of a VM, in any case, or the id of its saga.")
_POINT = _in_path("point", _SEGMENT, "The id of a recovery point.")
_FINDING = _in_path("finding", _SEGMENT, "The id of a finding.")
_FILE = _in_path("file", _SEGMENT, "The name of a file.")
_POLICY = _in_path("policy", ref("PolicyName"), "The name of a policy.")


def document() -> dict[str, Any]:
    """Give the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stillframe", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/api"}],
        "paths": {
            "/runs": {"get": run_operations.list_runs(), "post": run_operations.start_run()},
            "/runs/{run}": {"parameters": [_RUN], "get": run_operations.get_run()},
            "/runs/{run}/timeline": {"parameters": [_RUN], "get": run_operations.get_timeline()},
            "/runs/{run}/vms/{vm}": {"parameters": [_RUN, _VM], "get": run_operations.get_vm()},
            "/runs/{run}/cancel": {"parameters": [_RUN], "post": run_operations.cancel_run()},
            "/policies": {"get": policy_operations.list_policies()},
            "/policies/validate": {"post": policy_operations.validate_policy()},
            "/policies/preview": {"post": policy_operations.try_policy()},
            "/policies/{policy}/preview": {
                "parameters": [_POLICY],
                "get": policy_operations.preview_policy(),
            },
            "/schemas/policy.json": {"get": policy_operations.get_policy_schema()},
            "/runs/{run}/retry": {"parameters": [_RUN], "post": run_operations.retry_run()},
            "/rehearsals": {"post": run_operations.start_rehearsal()},
            "/rehearsals/{run}": {"parameters": [_RUN], "get": run_operations.get_rehearsal()},
            "/policies/{policy}": {
                "parameters": [_POLICY],
                "get": policy_operations.get_policy(),
                "put": policy_operations.put_policy(),
                "delete": policy_operations.delete_policy(),
            },
            "/preflight": {"get": run_operations.preflight_vm(), "post": run_operations.preflight_run()},
            "/recovery-points": {"get": point_operations.list_points()},
            "/recovery-points/rebuild": {"post": point_operations.rebuild_points()},
            "/recovery-points/{point}": {
                "parameters": [_POINT],
                "get": point_operations.get_point(),
                "delete": point_operations.delete_point(),
            },
            "/recovery-points/{point}/hold": {"parameters": [_POINT], "post": point_operations.hold_point()},
            "/recovery-points/{point}/release": {
                "parameters": [_POINT],
                "post": point_operations.release_point(),
            },
            "/retention/{policy}": {"parameters": [_POLICY], "get": point_operations.preview_retention()},
            "/retention/{policy}/try": {"parameters": [_POLICY], "post": point_operations.try_retention()},
            "/retention/{policy}/apply": {
                "parameters": [_POLICY],
                "post": point_operations.apply_retention(),
            },
            "/reconciliation": {
                "get": point_operations.get_reconciliation(),
                "post": point_operations.reconcile(),
            },
            "/reconciliation/{finding}": {
                "parameters": [_FINDING],
                "delete": point_operations.delete_orphan(),
            },
            "/health": {"get": app_operations.health()},
            "/openapi.json": {"get": app_operations.get_api()},
            "/ui": {"get": app_operations.page()},
            "/ui/{file}": {"parameters": [_FILE], "get": app_operations.page_files()},
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
