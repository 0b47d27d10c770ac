"""Reading requests: their bodies and headers. What is wrong is told by name, and never reaches a use case."""

import json
import re
from collections.abc import Iterable
from typing import Any

import azure.functions as func

from shared.policy.fields import DocumentError
from shared.triggers.yaml_documents import parse_yaml

#: Bytes. 2,000 VM ids and a policy fit several times over.
LARGEST_BODY = 1024 * 1024

#: Characters of an idempotency key.
LONGEST_KEY = 255

_JSON = re.compile(r'application/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE)
_YAML = re.compile(
    r'(?:application|text)/(?:x-)?yaml[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE
)
_KEY = re.compile("[ -~]*")
_ETAG = re.compile(r'\*|(?:W/)?"[!#-~]*"')


class BodyTooLarge(Exception):
    """The body is longer than ``LARGEST_BODY``; sizes in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes, allowed are {LARGEST_BODY}")
        self.size = size


class NotJson(Exception):
    """The request says that its body is something else than JSON in UTF-8."""

    def __init__(self, content_type: str) -> None:
        super().__init__(f"expected application/json in UTF-8, not {content_type[:100]}")
        self.content_type = content_type


def read_json(req: func.HttpRequest) -> Any:
    """Read the body. A request that does not say what its body is, is taken at its word that it is JSON.

    Raises:
        NotJson: by its ``Content-Type`` it is something else, or it is compressed.
        BodyTooLarge: it is longer than ``LARGEST_BODY``.
        DocumentError: it is no JSON that every reader takes the same way.
    """
    content_type, encoding = req.headers.get("content-type", ""), req.headers.get("content-encoding", "")
    if content_type and not _JSON.fullmatch(content_type):
        raise NotJson(content_type)
    if encoding.lower() not in ("", "identity"):
        raise NotJson(f"what is encoded as {encoding}")
    body = req.get_body()
    if len(body) > LARGEST_BODY:
        raise BodyTooLarge(len(body))
    return _parse(body)


def read_document(req: func.HttpRequest) -> Any:
    """Read a body that may be JSON or YAML: by its ``Content-Type``, JSON if there is none.

    Raises:
        NotJson, BodyTooLarge, DocumentError: see ``read_json`` and ``parse_yaml``.
    """
    content_type: str = req.headers.get("content-type", "")
    if not _YAML.fullmatch(content_type):
        return read_json(req)
    if req.headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise NotJson(f"what is encoded as {req.headers.get('content-encoding', '')}")
    body = req.get_body()
    if len(body) > LARGEST_BODY:
        raise BodyTooLarge(len(body))
    try:
        return parse_yaml(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise DocumentError("body", "expected YAML in UTF-8") from None


def read_idempotency_key(req: func.HttpRequest) -> str:
    """Read the header ``Idempotency-Key``; empty when there is none.

    Raises:
        DocumentError: it is too long, or has characters that not every client and log can show.
    """
    given: str = req.headers.get("idempotency-key", "")
    if len(given) > LONGEST_KEY or not _KEY.fullmatch(given):
        raise DocumentError("Idempotency-Key", f"expected at most {LONGEST_KEY} printable ASCII characters")
    return given


def read_if_match(req: func.HttpRequest) -> str | None:
    """Read the header ``If-Match``; None when there is none.

    Raises:
        DocumentError: it is not one ETag, nor ``*``.
    """
    given: str | None = req.headers.get("if-match")
    if given is not None and not _ETAG.fullmatch(given):
        raise DocumentError("If-Match", "expected one ETag, as a policy was answered with, or *")
    return given


def _parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError("body", "expected JSON in UTF-8") from None
    if text.startswith("\ufeff"):
        raise DocumentError("body", "expected JSON without a byte order mark")
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentError("body", "expected texts that UTF-8 can write, not half of a pair") from None
    except (ValueError, RecursionError):
        raise DocumentError("body", "expected JSON") from None
    return data


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members. Readers differ in which of two of the same name they take."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise DocumentError("body", f"the member {name!r:.100} comes twice in one object")
        members[name] = value
    return members


def _refuse(constant: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(constant)
