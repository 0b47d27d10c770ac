"""Policies and run requests: what is sent is read or refused by name, and as the OpenAPI document says."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engine.times import first_due
from shared.policy.documents import Policy, RunDocument, read_policy, read_policy_name, read_run
from shared.policy.fields import DocumentError
from shared.saga.codec import decode, encode
from tests.unit.fuzz.documents_of_users import POLICIES, RUNS
from tests.unit.fuzz.examples import fuzz
from tests.unit.fuzz.mutating import TEXTS, anything, mutated
from tests.unit.triggers.contract import faults

#: What a schema cannot say: members that are right each by itself but not together, and what words mean.
BEYOND_A_SCHEMA = re.compile(
    r"named twice|one of the document's own vms|must be (?:less|more) than|missing: what the pre-script|"
    r"nothing would be held|is one of accepted_exit_codes|is not the content's SHA-256|bytes together with|"
    r"bytes of UTF-8|cron expression|a name like Europe|UTF-8 can write|expected a list of at most \d texts|"
    r"does not go together"
)


def read_due(data: Any) -> Policy:
    """Read a policy as it is read when it is stored: its schedule has to come at some time."""
    policy = read_policy(data)
    for schedule in policy.schedules:
        first_due(schedule, 1_800_000_000_000)
    return policy


READERS: dict[str, tuple[Callable[[Any], Policy | RunDocument], type[Policy | RunDocument], list[Any]]] = {
    "Policy": (read_due, Policy, POLICIES),
    "RunRequest": (read_run, RunDocument, RUNS),
}


@pytest.mark.parametrize("schema", READERS)
def test_the_genuine_documents_are_read_and_fit_their_schema(schema: str) -> None:
    read, _, genuine = READERS[schema]
    for document in genuine:
        read(document)
        assert faults(schema, document) == []


def check(schema: str, document: Any) -> None:
    read, kind, _ = READERS[schema]
    told = faults(schema, document)
    try:
        record = read(document)
    except DocumentError as error:
        refused = error
    else:
        assert_as_said(document, told, record, read, kind)
        return
    assert refused.field
    assert json.dumps(str(refused))
    assert told or BEYOND_A_SCHEMA.search(refused.problem), f"refused, but fits the schema: {refused}"


def assert_as_said(document: Any, told: list[str], record: Any, read: Any, kind: Any) -> None:
    assert told == [], f"accepted, but does not fit the schema: {told}"
    assert read(json.loads(json.dumps(document))) == record
    assert decode(kind, json.loads(json.dumps(encode(record)))) == record


@fuzz()
@given(mutated(POLICIES))
def test_a_policy_with_anything_wrong_is_refused_or_read_as_its_schema_says(document: Any) -> None:
    check("Policy", document)


@fuzz()
@given(mutated(RUNS))
def test_a_run_request_with_anything_wrong_is_refused_or_read_as_its_schema_says(document: Any) -> None:
    check("RunRequest", document)


@fuzz(50)
@given(anything())
def test_any_json_at_all_is_refused_or_read(document: Any) -> None:
    for schema in READERS:
        check(schema, document)


@fuzz(50)
@given(st.one_of(anything(), st.sampled_from(TEXTS), st.text(max_size=12)))
def test_a_policy_name_is_one_or_refused(name: Any) -> None:
    fits = faults("PolicyName", name) == []
    try:
        assert read_policy_name(name) == name
    except DocumentError:
        assert not fits
    else:
        assert fits
