"""Operations of the OpenAPI document: the app's health, its own description, and its page."""

from shared.triggers.operation_parts import answer_of, operation
from shared.triggers.rights import ANONYMOUS
from shared.triggers.schema_parts import Schema


def health() -> Schema:
    """Describe ``GET /health``."""
    ill = "Storage or Azure cannot be reached, or a saga is overdue: problems say which."
    answers = {"200": answer_of("All is well.", "Health"), "503": answer_of(ill, "Health")}
    return operation("health", "Say how the app is", answers)


def get_api() -> Schema:
    """Describe ``GET /openapi.json``."""
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "An OpenAPI 3.1 document.", "content": content}
    return operation("get_api", "Show this document", {"200": answer})


def page() -> Schema:
    """Describe ``GET /ui``."""
    content = {"text/html": {"schema": {"type": "string"}}}
    return _file("page", "Show the page", {"200": {"description": "The page.", "content": content}})


def page_files() -> Schema:
    """Describe ``GET /ui/{file}``."""
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
