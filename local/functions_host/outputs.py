"""From what a function put into a queue output to the messages that are sent.

As FunctionBinding.ReadAsEnumerable and BindAsyncCollectorAsync<byte[]> of the .NET host do it. One difference
is known: Newtonsoft re-formats strings that look like dates, inside of JSON that it parses; here they stay.
"""

import json
from typing import Any

from local.functions_host.metadata import looks_like_json
from local.functions_host.protos import TypedData


class OutputConversionError(Exception):
    """An output that is no valid message; the invocation fails although its code has run."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"output {argument!r}: {reason}")
        self.argument = argument
        self.reason = reason


def message_bodies(argument: str, data: TypedData | None) -> list[bytes]:
    """The bodies of the messages that one output stands for, in order; none when it was left unset.

    Bytes go out as they are. A text in brackets or braces is parsed: an array becomes one message per
    element, an object is written anew, indented. A JSON list (from `Out[List[str]]`) becomes one message per
    element; strings in it go out byte for byte. Raises OutputConversionError.
    """
    if data is None or data.kind is None:
        return []
    match data.kind, data.value:
        case "bytes", bytes(body):
            return [body]
        case "string", str(text) if not looks_like_json(text):
            return [text.encode()]
        case (("string" | "json"), str(text)):
            content = _parse(argument, text)
            elements = content if isinstance(content, list) else [content]
            return [_element_text(element).encode() for element in elements]
        case (("int" | "double"), number):
            return [_element_text(number).encode()]
    raise OutputConversionError(argument, f"a value of kind {data.kind!r} is no queue message")


def _parse(argument: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise OutputConversionError(argument, f"looks like JSON but is not: {error}") from error


def _element_text(element: Any) -> str:
    """JToken.ToString(): strings bare, null empty, flags capitalised, the rest as indented JSON."""
    match element:
        case str():
            return element
        case None:
            return ""
        case bool():
            return str(element)
        case _:
            return json.dumps(element, indent=2, ensure_ascii=False)
