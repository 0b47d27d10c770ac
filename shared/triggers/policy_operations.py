"""Operations of the OpenAPI document: policies."""

from shared.triggers.examples import POLICY
from shared.triggers.operation_parts import PAGE, answer_of, body_of, leads_to, operation, problems
from shared.triggers.schema_parts import Schema, ref

_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of the version that is meant, or * for any.",
    "schema": {"type": "string", "pattern": r'^(?:\*|(?:W/)?"[!#-~]*")$'},
}


def get_policy() -> Schema:
    """Describe ``GET /policies/{policy}``."""
    answers = {"200": answer_of("The policy.", "StoredPolicy", "ETag"), **problems(400, 404)}
    return operation("get_policy", "Show a policy", answers)


def put_policy() -> Schema:
    """Describe ``PUT /policies/{policy}``."""
    stored = answer_of("The policy as it is stored.", "StoredPolicy", "ETag") | leads_to(
        "policy", "$response.body#/policy", "get_policy", "delete_policy"
    )
    return operation(
        "put_policy",
        "Store a policy; with If-Match only over the version that it names",
        {"200": stored, **problems(400, 412, 413, 415)},
        parameters=[_IF_MATCH],
        requestBody=_document_body(),
    )


def list_policies() -> Schema:
    """Describe ``GET /policies``."""
    answers = {"200": answer_of("Policies, by their names.", "Policies"), **problems(400)}
    return operation("list_policies", "List policies and their next times", answers, parameters=[*PAGE])


def validate_policy() -> Schema:
    """Describe ``POST /policies/validate``."""
    answers = {"200": answer_of("It is valid.", "ValidPolicy"), **problems(400, 413, 415)}
    body = _document_body()
    return operation("validate_policy", "Check a policy; nothing is stored", answers, requestBody=body)


def preview_policy() -> Schema:
    """Describe ``GET /policies/{policy}/preview``."""
    answers = {"200": answer_of("What it would do now.", "PolicyPreview"), **problems(400, 404)}
    told = "Show which VMs a policy selects now and why, and its next times"
    return operation("preview_policy", told, answers, parameters=[PAGE[0]])


def try_policy() -> Schema:
    """Describe ``POST /policies/preview``."""
    answers = {"200": answer_of("What it would do now.", "PolicyPreview"), **problems(400, 413, 415)}
    told = "Show the same for a policy that is not stored"
    return operation("try_policy", told, answers, parameters=[PAGE[0]], requestBody=_document_body())


def get_policy_schema() -> Schema:
    """Describe ``GET /schemas/policy.json``."""
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "A JSON Schema (2020-12).", "content": content}
    return operation("get_policy_schema", "Show the schema of a policy", {"200": answer})


def _document_body() -> Schema:
    body = body_of("Policy", POLICY=POLICY)
    body["content"]["application/yaml"] = {"schema": ref("Policy")}
    return body


def delete_policy() -> Schema:
    """Describe ``DELETE /policies/{policy}``."""
    gone = {"description": "It is removed; its runs and recovery points stay."}
    answers = {"204": gone, **problems(400, 404, 412)}
    return operation("delete_policy", "Remove a policy", answers, parameters=[_IF_MATCH])
