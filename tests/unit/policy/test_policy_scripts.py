"""Scripts in documents: where they come from, what they are told, and by which rules they are judged."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy import variables
from shared.policy.documents import read_run
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import Script, StderrRule
from shared.policy.script_fields import LARGEST_CONTENT, LARGEST_INLINE, inline

VM = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
    "/providers/Microsoft.Compute/virtualMachines/db-1"
)
TEXT = "#!/bin/sh\necho hold\n"
PIN = hashlib.sha256(TEXT.encode()).hexdigest()


def read(script: dict[str, Any]) -> Script:
    guest = {"pre_script": script, "post_script": {"path": "/post"}}
    found = read_run({"vms": [VM], "guest_processing": guest}).guest
    assert found is not None
    assert found.pre_script is not None
    return found.pre_script


def refusal(script: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(DocumentError) as caught:
        read(script)
    return caught.value.field.removeprefix("guest_processing.pre_script"), caught.value.problem


def test_a_script_with_every_rule_is_read() -> None:
    script = {
        "path": "/opt/pre.sh",
        "arguments": ["--vm", "%vmName%", "100%%"],
        "environment": {"DISKS": "%diskLuns%"},
        "timeout_ms": 3_000,
        "retries": 2,
        "retry_delay_ms": 0,
        "accepted_exit_codes": [0, 2],
        "warning_exit_codes": [3, -1],
        "ignore_exit_codes": True,
        "ignore_missing": True,
        "stderr": "warn",
        "run_as": "DOMAIN\\backup",
    }
    assert read(script) == Script(
        "/opt/pre.sh",
        ("--vm", "%vmName%", "100%%"),
        3_000,
        environment=(("DISKS", "%diskLuns%"),),
        retries=2,
        retry_delay_ms=0,
        accepted_exit_codes=(0, 2),
        warning_exit_codes=(3, -1),
        ignore_exit_codes=True,
        ignore_missing=True,
        stderr=StderrRule.WARN,
        run_as="DOMAIN\\backup",
    )


def test_content_is_pinned_and_has_a_name() -> None:
    script = read({"content": TEXT})

    assert (script.content, script.sha256, script.name, script.path) == (TEXT, PIN, "pre.sh", "")
    assert read({"content": TEXT, "sha256": PIN.upper(), "name": "pre.ps1"}).name == "pre.ps1"


def test_short_content_travels_in_the_command_and_long_content_does_not() -> None:
    assert inline(read({"content": "x" * (LARGEST_INLINE - 2)}))
    assert not inline(read({"content": "x" * (LARGEST_INLINE - 1)}))
    assert not inline(read({"content": "\u00e4" * LARGEST_CONTENT * 0 + "\u00e4" * 2_000}))
    assert len(read({"content": "x" * LARGEST_CONTENT}).content) == LARGEST_CONTENT


@pytest.mark.parametrize(
    ("script", "field", "words"),
    [
        ({}, ".path", "text"),
        ({"path": "/a", "content": TEXT}, ".content", "not together with path"),
        ({"path": "/a", "sha256": PIN}, ".sha256", "only together with content"),
        ({"path": "/a", "name": "a.sh"}, ".name", "only together with content"),
        ({"content": ""}, ".content", "text"),
        ({"content": "a\0b"}, ".content", "NUL"),
        ({"content": "\ud800"}, ".content", "UTF-8"),
        ({"content": "x" * (LARGEST_CONTENT + 1)}, ".content", str(LARGEST_CONTENT)),
        ({"content": "\u20ac" * LARGEST_CONTENT}, ".content", "bytes of UTF-8"),
        ({"content": TEXT, "sha256": "0" * 64}, ".sha256", PIN),
        ({"content": TEXT, "sha256": "pin"}, ".sha256", "64 hexadecimal"),
        ({"content": TEXT, "name": "../pre.sh"}, ".name", "file's name"),
        ({"content": TEXT, "name": ".pre"}, ".name", "file's name"),
        ({"content": TEXT, "ignore_missing": True}, ".ignore_missing", "only together with path"),
        ({"path": "/a", "arguments": ["%vmname%"]}, ".arguments[0]", "known: %vmName%, %vmId%"),
        ({"path": "/a", "arguments": ["x", "50% off"]}, ".arguments[1]", "written %%"),
        ({"path": "/a", "arguments": ["a\0"]}, ".arguments[0]", "NUL"),
        ({"path": "/a", "environment": {"A": "%TEMP%"}}, ".environment.A", "unknown variable %TEMP%"),
        ({"path": "/a", "environment": {"A-B": ""}}, ".environment.A-B", "letters, digits"),
        ({"path": "/a", "environment": {"Stillframe_X": ""}}, ".environment.Stillframe_X", "STILLFRAME_*"),
        ({"path": "/a", "environment": []}, ".environment", "JSON object"),
        ({"path": "/a", "retries": 11}, ".retries", "from 0 to 10"),
        ({"path": "/a", "retry_delay_ms": -1}, ".retry_delay_ms", "from 0"),
        ({"path": "/a", "accepted_exit_codes": 0}, ".accepted_exit_codes", "list"),
        ({"path": "/a", "accepted_exit_codes": [True]}, ".accepted_exit_codes[0]", "whole number"),
        ({"path": "/a", "warning_exit_codes": [1, 0]}, ".warning_exit_codes", "accepted_exit_codes already"),
        ({"path": "/a", "ignore_exit_codes": "yes"}, ".ignore_exit_codes", "true or false"),
        ({"path": "/a", "stderr": "loud"}, ".stderr", "ignore, warn, fail"),
        ({"path": "/a", "run_as": "a b"}, ".run_as", "user of the guest"),
        ({"path": "/a", "environment": {f"A{n}": "x" * 1_000 for n in range(20)}}, ".arguments", "16384"),
    ],
)
def test_a_bad_script_is_refused_by_its_field(script: dict[str, Any], field: str, words: str) -> None:
    found, problem = refusal(script)

    assert (found, words in problem) == (field, True), problem


VALUES = {name: f"<{name}>" for name in variables.VARIABLES}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("%vmName%", "<vmName>"),
        ("a-%runId%-%generation%", "a-<runId>-<generation>"),
        ("%vmName%%vmId%", "<vmName><vmId>"),
        ("100%%", "100%"),
        ("%%vmName%%", "%vmName%"),
        ("%%%vmName%%%", "%<vmName>%"),
    ],
)
def test_variables_are_put_in_and_two_percent_signs_are_one(text: str, expanded: str) -> None:
    variables.check(text, "here")

    assert variables.expand(text, VALUES) == expanded


@pytest.mark.parametrize("text", ["%", "a%", "%vmName", "%vmName%%", "%%%", "% %", "%vm Name%"])
def test_a_percent_sign_that_begins_no_variable_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        variables.check(text, "here")


@given(st.text())
def test_any_text_can_be_written_with_its_percent_signs_doubled(text: str) -> None:
    written = text.replace("%", "%%")
    variables.check(written, "here")

    assert variables.expand(written, VALUES) == text


@given(st.lists(st.sampled_from(["%", "%%", "vmName", "%vmName%", "x", " "]), max_size=8))
def test_whatever_passes_the_check_can_be_expanded(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        variables.check(text, "here")
    except DocumentError:
        return

    assert variables.expand(text, VALUES).count("<") == variables.expand(text, VALUES).count(">")


def test_a_value_is_not_expanded_again() -> None:
    assert variables.expand("%vmName%", VALUES | {"vmName": "%vmId%"}) == "%vmId%"
