"""Reading the scripts of a document."""

import hashlib
import json
import re
from typing import Any

from shared.policy import variables
from shared.policy.fields import DocumentError, Fields
from shared.policy.guest_processing import Script, StderrRule

#: What a script adds to its command: two of them fit a queue message (``shared/protocol.py``). Bytes of JSON.
LARGEST_SCRIPT = 16 * 1024

#: Content up to this size (bytes of JSON) travels in the command; a longer one lies in the guests' storage.
LARGEST_INLINE = 8 * 1024

#: Longer content is no script any more (bytes of UTF-8), and a policy has to fit its row.
LARGEST_CONTENT = 96 * 1024

#: The agent's own limit.
MOST_RETRIES = 10

_PIN = re.compile("[0-9a-f]{64}", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?")
#: Exit codes: 0 to 255 on Linux, 32 bits on Windows.
_LEAST_CODE, _LARGEST_CODE = -(2**31), 2**32 - 1

_KNOWN = (
    "path", "content", "sha256", "name", "arguments", "environment", "timeout_ms", "retries",
    "retry_delay_ms", "accepted_exit_codes", "warning_exit_codes", "ignore_exit_codes", "ignore_missing",
    "stderr", "run_as",
)  # fmt: skip


def read_script(above: Fields, name: str) -> Script | None:
    """Read the script ``name``; None when it is missing.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not above.has(name):
        return None
    script = Fields(above.raw(name), above.at(name), _KNOWN)
    defaults = Script()
    read = Script(
        **_source(script, name),
        arguments=_arguments(script),
        environment=_environment(script),
        timeout_ms=script.whole("timeout_ms", defaults.timeout_ms, least=100, most=600_000),
        retries=script.whole("retries", 0, least=0, most=MOST_RETRIES),
        retry_delay_ms=script.whole("retry_delay_ms", defaults.retry_delay_ms, least=0, most=600_000),
        accepted_exit_codes=_codes(script, "accepted_exit_codes", defaults.accepted_exit_codes),
        warning_exit_codes=_codes(script, "warning_exit_codes", ()),
        ignore_exit_codes=script.flag("ignore_exit_codes", default=False),
        ignore_missing=script.flag("ignore_missing", default=False),
        stderr=script.choice("stderr", StderrRule, defaults.stderr),
        run_as=_user(script),
    )
    _check_together(script, read)
    return read


def inline(script: Script) -> bool:
    """Whether a delivered script is short enough to travel in its command."""
    return len(json.dumps(script.content)) <= LARGEST_INLINE


def _source(script: Fields, name: str) -> dict[str, Any]:
    """Read where the script comes from: a path in the guest, or content with its name and pin."""
    if script.has("content"):
        return _delivered(script, name)
    for only in ("sha256", "name"):
        if script.has(only):
            raise DocumentError(script.at(only), "only together with content")
    path = script.text("path")
    if not path.startswith("/") and not re.match(r"[A-Za-z]:\\", path):
        raise DocumentError(script.at("path"), "expected an absolute path in the guest")
    return {"path": path}


def _delivered(script: Fields, name: str) -> dict[str, str]:
    if script.has("path"):
        raise DocumentError(
            script.at("content"), "not together with path: a script is in the guest or delivered"
        )
    content = script.text("content", longest=LARGEST_CONTENT)
    if "\0" in content:
        raise DocumentError(script.at("content"), "expected a text without NUL")
    try:
        encoded = content.encode()
    except UnicodeEncodeError:
        raise DocumentError(script.at("content"), "expected a text that UTF-8 can write") from None
    if len(encoded) > LARGEST_CONTENT:
        raise DocumentError(script.at("content"), f"expected at most {LARGEST_CONTENT} bytes of UTF-8")
    pin = hashlib.sha256(encoded).hexdigest()
    wanted = script.text("sha256", pin)
    if not _PIN.fullmatch(wanted):
        raise DocumentError(script.at("sha256"), "expected 64 hexadecimal digits")
    if wanted.lower() != pin:
        raise DocumentError(script.at("sha256"), f"is not the content's SHA-256, which is {pin}")
    file = script.text("name", name.partition("_")[0] + ".sh")
    if not _NAME.fullmatch(file):
        problem = "expected a file's name of letters, digits, . _ -: its extension says how it is run"
        raise DocumentError(script.at("name"), problem)
    return {"content": content, "sha256": pin, "name": file}


def _arguments(script: Fields) -> tuple[str, ...]:
    arguments = script.texts("arguments", most=64)
    for index, argument in enumerate(arguments):
        at = f"{script.at('arguments')}[{index}]"
        if "\0" in argument:
            raise DocumentError(at, "expected a text without NUL")
        variables.check(argument, at)
    return arguments


def _environment(script: Fields) -> tuple[tuple[str, str], ...]:
    environment = script.table("environment", most=64, longest=1024)
    for name, value in environment:
        at = f"{script.at('environment')}.{name}"
        if not _VARIABLE.fullmatch(name) or name.upper().startswith(variables.RESERVED):
            problem = f"expected a name of letters, digits and _, not one of {variables.RESERVED}*"
            raise DocumentError(at, problem)
        if "\0" in value:
            raise DocumentError(at, "expected a text without NUL")
        variables.check(value, at)
    return environment


def _codes(script: Fields, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return script.wholes(name, default, most=64, least=_LEAST_CODE, largest=_LARGEST_CODE)


def _user(script: Fields) -> str:
    user = script.text("run_as", "", longest=64)
    if user and not _USER.fullmatch(user):
        raise DocumentError(script.at("run_as"), "expected the name of a user of the guest")
    return user


def _check_together(script: Fields, read: Script) -> None:
    both = set(read.accepted_exit_codes) & set(read.warning_exit_codes)
    if both:
        problem = f"{min(both)} is one of accepted_exit_codes already"
        raise DocumentError(script.at("warning_exit_codes"), problem)
    if read.ignore_missing and not read.path:
        raise DocumentError(script.at("ignore_missing"), "only together with path: content cannot be missing")
    travels = [read.path, *read.arguments, dict(read.environment), read.content if inline(read) else ""]
    if len(json.dumps(travels)) > LARGEST_SCRIPT:
        problem = (
            f"expected at most {LARGEST_SCRIPT} bytes together with path, content and environment, as JSON"
        )
        raise DocumentError(script.at("arguments"), problem)
