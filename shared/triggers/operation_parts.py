"""What operations of the OpenAPI document are put together of."""

from typing import Any

from shared.triggers.queries import LARGEST_LIMIT, LONGEST_CONTINUATION, USUAL_LIMIT
from shared.triggers.rights import right_of
from shared.triggers.schema_parts import Schema, ref

_PROBLEM = "application/problem+json"
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


def operation(function: str, summary: str, responses: dict[str, Schema], **more: Any) -> Schema:
    """Describe a function that needs a key: its right, its answers, and those that all of them may give."""
    host = {"401": {"description": "No key, or none that opens this; the host answers without a body."}}
    responses = problems(500, 503) | responses | host
    return {
        "operationId": function,
        "summary": summary,
        "security": [{right_of(function).value: []}],
        **more,
        "responses": dict(sorted(responses.items())),
    }


def body_of(schema: str, **examples: Any) -> Schema:
    """Describe a body that has to be sent, with examples by their names."""
    shown = {name.lower(): {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": ref(schema), "examples": shown}}}


def answer_of(description: str, schema: str, *headers: str) -> Schema:
    """Describe an answer in JSON, and the headers that it always has."""
    answer: Schema = {
        "description": description,
        "content": {"application/json": {"schema": ref(schema)}},
    }
    told = {name: {"required": True, "schema": {"type": "string"}} for name in headers}
    return answer | ({"headers": told} if told else {})


def leads_to(parameter: str, value: str, *functions: str) -> Schema:
    """Say which functions take a value of the answer as a parameter."""
    return {"links": {each: {"operationId": each, "parameters": {parameter: value}} for each in functions}}


def refused(description: str) -> Schema:
    """Describe an answer with problem details."""
    return {"description": description, "content": {_PROBLEM: {"schema": ref("Problem")}}}


def problems(*statuses: int) -> dict[str, Schema]:
    """Describe the answers with problem details that mean the same everywhere, by their statuses."""
    answers = {str(status): refused(_TOLD[status]) for status in statuses}
    if "503" in answers:
        retry = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
        answers["503"]["headers"] = retry
    return answers


def in_query(name: str, schema: Schema, description: str) -> Schema:
    """Describe a parameter of a query; none is required."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


#: The parameters of a list that is given page by page.
PAGE = [
    in_query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": USUAL_LIMIT},
        "How many items a page may have.",
    ),
    in_query(
        "continuation",
        {"type": "string", "maxLength": LONGEST_CONTINUATION, "pattern": "^[A-Za-z0-9_-]+$"},
        "The continuation of an earlier answer to the same query.",
    ),
]
