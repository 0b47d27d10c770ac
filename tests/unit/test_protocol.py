"""Commands and acks: what is signed comes back, and everything else is turned away with a reason."""

import hashlib
import hmac
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared import protocol
from shared.protocol import (
    ACK_KINDS,
    ARM,
    COMMAND_KINDS,
    MAX_BYTES,
    QUIESCE,
    QUIESCED,
    READY,
    Ack,
    BadSignature,
    Command,
    Expired,
    Malformed,
    Rejected,
    Replayed,
    Stranger,
    TooLarge,
    UnknownVersion,
    decode_ack,
    decode_command,
    encode_ack,
    encode_command,
    session_key,
    vm_key,
)

MASTER = b"m" * 32
VM = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/db-1"
SAGA = "0123456789abcdef0123"
NOW = 1_700_000_000_000
COMMAND = Command(QUIESCE, VM, SAGA, 1, 2, NOW + 30_000, {"filesystems": "all", "pre_script": None})
ACK = Ack(QUIESCED, VM, SAGA, 1, 3, 2, NOW, {"held": [{"kind": "filesystem", "name": "/dàta"}]})

#: What the queue trigger itself puts beside a message (WebJobs storage queues: QueueTriggerBinding).
TRIGGER_METADATA = (
    "id",
    "dequeueCount",
    "popReceipt",
    "insertionTime",
    "expirationTime",
    "nextVisibleTime",
    "queueTrigger",
)

REASONS = tuple(cause.reason for cause in Rejected.__subclasses__())

WHOLE = st.integers(0, 2**63)
BODY = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
COMMANDS = st.builds(Command, st.sampled_from(COMMAND_KINDS), NAME, NAME, WHOLE, WHOLE, WHOLE, BODY)
ACKS = st.builds(Ack, st.sampled_from(ACK_KINDS), NAME, NAME, WHOLE, WHOLE, WHOLE, WHOLE, BODY)


def key(vm: str = VM, saga: str = SAGA) -> bytes:
    return session_key(vm_key(MASTER, vm), saga)


def command_text(**changes: Any) -> str:
    return encode_command(COMMAND._replace(**changes), key())


def ack_text(**changes: Any) -> str:
    return encode_ack(ACK._replace(**changes), key())


def read_command(text: str, now: int = NOW) -> Command:
    return decode_command(text, VM, lambda saga: key(saga=saga), now)


def read_ack(text: str) -> Ack:
    return decode_ack(text, key)


def signed(document: dict[str, Any], domain: bytes, secret: bytes) -> str:
    """Sign any document at all, as nobody but a holder of the key can."""
    return protocol._sign(dict(document), domain, secret)


# --- what is signed comes back ------------------------------------------------------------


@given(command=COMMANDS)
def test_every_command_comes_back_as_it_was(command: Command) -> None:
    text = encode_command(command, key(command.vm, command.saga))
    back = decode_command(text, command.vm, lambda saga: key(command.vm, saga), command.expires_at)

    assert back == command


@given(ack=ACKS)
def test_every_ack_comes_back_as_it_was(ack: Ack) -> None:
    assert read_ack(encode_ack(ack, key(ack.vm, ack.saga))) == ack


def test_the_text_is_ascii_so_that_its_characters_are_its_bytes() -> None:
    assert ack_text(body={"name": "/dàta \U0001f9ca \ud800"}).isascii()
    assert read_ack(ack_text(body={"name": "\ud800"})).body == {"name": "\ud800"}


def test_the_vm_is_recognised_in_whatever_case_azure_writes_it() -> None:
    assert decode_command(command_text(vm=VM.upper()), VM, lambda saga: key(saga=saga), NOW).vm == VM.upper()
    assert vm_key(MASTER, VM.upper()) == vm_key(MASTER, VM)


def test_the_order_of_members_and_white_space_do_not_count() -> None:
    document = json.loads(command_text())
    shuffled = json.dumps(dict(reversed(document.items())), indent=2)

    assert read_command(shuffled) == COMMAND


@pytest.mark.parametrize("text", [command_text(), ack_text()], ids=["command", "ack"])
def test_no_top_level_name_is_one_of_the_triggers_own(text: str) -> None:
    taken = {name.lower() for name in TRIGGER_METADATA}

    assert not taken & {name.lower() for name in json.loads(text)}


# --- keys ---------------------------------------------------------------------------------


def test_the_derivation_is_rfc_5869_by_its_third_test_case() -> None:
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"

    assert protocol._hkdf(b"\x0b" * 22, "").hex() == okm[:64]


@given(secret=st.binary(min_size=1, max_size=80), info=NAME)
def test_the_derivation_agrees_with_an_independent_one(secret: bytes, info: str) -> None:
    independent = HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode())

    assert protocol._hkdf(secret, info) == independent.derive(secret)


def test_keys_derive_from_the_texts_that_the_documentation_names() -> None:
    def derived(secret: bytes, info: str) -> bytes:
        return HKDF(SHA256(), 32, None, info.encode()).derive(secret)

    of_vm = derived(MASTER, f"stillframe vm key v7 {VM.lower()}")
    assert vm_key(MASTER, VM.upper(), 7) == of_vm
    assert session_key(of_vm, SAGA) == derived(of_vm, f"stillframe session key {SAGA}")


def test_every_vm_key_version_and_saga_has_a_key_of_its_own() -> None:
    keys = [
        vm_key(MASTER, VM),
        vm_key(MASTER, VM + "2"),
        vm_key(MASTER, VM, 2),
        vm_key(b"n" * 32, VM),
        session_key(vm_key(MASTER, VM), SAGA),
        session_key(vm_key(MASTER, VM), SAGA + "0"),
        session_key(vm_key(MASTER, VM, 2), SAGA),
    ]

    assert len({*keys, MASTER}) == len(keys) + 1
    assert {len(each) for each in keys} == {32}


# --- what is turned away, and why ---------------------------------------------------------


def test_each_cause_has_a_stable_code_of_its_own() -> None:
    assert {cause.__name__: cause.reason for cause in Rejected.__subclasses__()} == {
        "Malformed": "malformed",
        "TooLarge": "too_large",
        "UnknownVersion": "unknown_version",
        "BadSignature": "bad_signature",
        "Stranger": "stranger",
        "Expired": "expired",
        "Replayed": "replayed",
    }


def test_a_command_of_another_session_or_vm_or_key_version_is_not_obeyed() -> None:
    for wrong in (key(saga="another"), key(vm="another"), session_key(vm_key(MASTER, VM, 2), SAGA)):
        with pytest.raises(BadSignature) as refused:
            read_command(encode_command(COMMAND, wrong))
        assert refused.value.saga == SAGA


def test_a_command_for_another_vm_is_a_strangers() -> None:
    with pytest.raises(Stranger) as refused:
        read_command(command_text(vm=VM + "2"))

    assert (refused.value.field, refused.value.value) == ("vm", VM + "2")


def test_an_ack_of_a_session_unknown_here_is_a_strangers() -> None:
    with pytest.raises(Stranger) as refused:
        decode_ack(ack_text(), lambda _vm, _saga: None)

    assert (refused.value.field, refused.value.value) == ("saga", SAGA)


def test_a_command_is_valid_up_to_its_last_millisecond() -> None:
    assert read_command(command_text(), COMMAND.expires_at) == COMMAND
    with pytest.raises(Expired) as refused:
        read_command(command_text(), COMMAND.expires_at + 1)

    assert refused.value.late_ms == 1


def test_an_expired_command_with_a_wrong_signature_tells_of_the_signature() -> None:
    with pytest.raises(BadSignature):
        read_command(encode_command(COMMAND, b"wrong"), COMMAND.expires_at + 1)


def test_an_ack_does_not_expire() -> None:
    assert read_ack(ack_text(sent_at=0)).sent_at == 0


def test_what_fits_no_queue_message_is_neither_written_nor_read() -> None:
    with pytest.raises(TooLarge) as refused:
        ack_text(body={"output": "x" * MAX_BYTES})
    assert refused.value.size > MAX_BYTES

    with pytest.raises(TooLarge) as refused:
        read_ack("ü" * (MAX_BYTES // 2 + 1))
    assert refused.value.size == MAX_BYTES + 2


def test_the_largest_message_that_is_written_is_read() -> None:
    room = MAX_BYTES - len(ack_text(body={"output": ""}))
    text = ack_text(body={"output": "x" * room})

    assert len(text) == MAX_BYTES
    assert read_ack(text).body["output"] == "x" * room
    with pytest.raises(TooLarge):
        ack_text(body={"output": "x" * (room + 1)})


@pytest.mark.parametrize("version", [2, 0, -1, "1", True, None, 1.0, [], {"v": 1}])
def test_another_version_is_refused_before_anything_else_is_looked_at(version: Any) -> None:
    text = json.dumps({"stillframe": version})
    expected = Malformed if isinstance(version, float) else UnknownVersion
    with pytest.raises(expected):
        read_command(text)


def test_the_reason_of_a_monstrous_version_is_short() -> None:
    with pytest.raises(UnknownVersion) as refused:
        read_ack(json.dumps({"stillframe": ["x" * 40_000]}))

    assert len(str(refused.value)) < 100
    assert refused.value.version == ["x" * 40_000]


@pytest.mark.parametrize("name", sorted(set(json.loads(ack_text())) - {"stillframe"}))
@pytest.mark.parametrize("value", ["<missing>", None, 1.5, -1, True, [], "", "\ud800"])
def test_a_member_that_is_missing_or_of_the_wrong_kind_is_named(name: str, value: Any) -> None:
    document = json.loads(ack_text())
    del document[name]
    if value != "<missing>":
        document[name] = value
    with pytest.raises(Malformed) as refused:
        read_ack(json.dumps(document))

    assert refused.value.field == (name if value != 1.5 else "message")


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(Malformed) as refused:
        read_command(command_text(kind="reboot"))

    assert refused.value.field == "kind"
    assert all(kind in refused.value.expected for kind in COMMAND_KINDS)


def test_a_replay_tells_both_sequences() -> None:
    replayed = Replayed(3, 7)

    assert (replayed.sequence, replayed.last) == (3, 7)


@pytest.mark.parametrize(
    ("cause", "told", "sentence"),
    [
        (Malformed, ("kind", "one of: arm"), "kind: expected one of: arm"),
        (TooLarge, (50_000,), "50000 bytes, allowed are 49152"),
        (UnknownVersion, (2,), "protocol version 2, spoken here is 1"),
        (UnknownVersion, ("1",), "protocol version str, spoken here is 1"),
        (BadSignature, (SAGA,), f"signature does not match the session key of saga {SAGA}"),
        (Stranger, ("saga", SAGA), f"saga {SAGA} is not known here"),
        (Expired, (12,), "expired 12 ms ago"),
        (Replayed, (3, 7), "sequence 3 after 7"),
    ],
)
def test_each_refusal_says_in_a_sentence_what_was_wrong(
    cause: type[Rejected], told: tuple[Any, ...], sentence: str
) -> None:
    assert str(cause(*told)) == sentence


# --- an ack is never a command ------------------------------------------------------------


def test_an_ack_is_not_accepted_as_a_command_nor_the_other_way_round() -> None:
    with pytest.raises(Malformed):
        read_command(ack_text())
    with pytest.raises(Malformed):
        read_ack(command_text())


def test_what_was_signed_as_an_ack_is_no_command_whatever_it_says() -> None:
    both = {"stillframe": 1, "vm": VM, "saga": SAGA, "generation": 1, "sequence": 9, "answers": 1, "body": {}}
    both |= {"sent_at": NOW, "expires_at": NOW + 1}
    disguised = signed({**both, "kind": ARM}, protocol._ACK_DOMAIN, key())
    with pytest.raises(BadSignature):
        read_command(disguised)

    disguised = signed({**both, "kind": READY}, protocol._COMMAND_DOMAIN, key())
    with pytest.raises(BadSignature):
        read_ack(disguised)


# --- nothing else gets in, and nothing else comes out -------------------------------------


def outcome_of(read: Callable[[str], object], text: str) -> object:
    """Give the message, or the reason for which it was turned away; any other exception is a defect."""
    try:
        return read(text)
    except Rejected as rejected:
        return rejected.reason


def rejected_or_the_same(text: str) -> None:
    """Whatever was done to the two messages, they are turned away or mean what they meant."""
    assert outcome_of(read_command, text) in (COMMAND, *REASONS)
    assert outcome_of(read_ack, text) in (ACK, *REASONS)


def test_every_single_character_flipped_is_rejected_or_changes_nothing() -> None:
    for text in (command_text(), ack_text()):
        for place, bit in itertools.product(range(len(text)), range(7)):
            flipped = chr(ord(text[place]) ^ (1 << bit))
            rejected_or_the_same(text[:place] + flipped + text[place + 1 :])


def test_every_truncation_is_rejected() -> None:
    for text in (command_text(), ack_text()):
        for length in range(len(text)):
            with pytest.raises(Rejected):
                read_command(text[:length])
            with pytest.raises(Rejected):
                read_ack(text[:length])


@given(place=st.integers(0, 400), inserted=st.text(max_size=4), removed=st.integers(0, 6))
@settings(max_examples=300)
def test_any_edit_is_rejected_or_changes_nothing(place: int, inserted: str, removed: int) -> None:
    for text in (command_text(), ack_text()):
        rejected_or_the_same(text[:place] + inserted + text[place + removed :])


@given(text=st.text(st.characters(), max_size=200))
@example(text="\ud800")
@example(text="NaN")
@example(text="\x00")
@example(text="\ufeff{}")
def test_arbitrary_text_is_rejected_and_never_anything_else(text: str) -> None:
    for read in (read_command, read_ack):
        with pytest.raises(Rejected):
            read(text)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(value=ANY_JSON)
def test_arbitrary_json_is_rejected_and_never_anything_else(value: Any) -> None:
    for read in (read_command, read_ack):
        with pytest.raises(Rejected):
            read(json.dumps(value))


@given(data=st.data(), value=ANY_JSON)
@settings(max_examples=300)
def test_a_member_replaced_by_arbitrary_json_is_rejected_or_changes_nothing(
    data: st.DataObject, value: Any
) -> None:
    for text in (command_text(), ack_text()):
        document = json.loads(text)
        document[data.draw(st.sampled_from(sorted(document)))] = value
        rejected_or_the_same(json.dumps(document))


def with_raw(name: str, raw: str) -> str:
    """Give the ack with one member replaced by raw JSON text."""
    document = json.loads(ack_text())
    document[name] = "@"
    return json.dumps(document).replace('"@"', raw)


@pytest.mark.parametrize("name", ["stillframe", "kind", "saga", "generation", "body", "signature", "unknown"])
@pytest.mark.parametrize(
    "raw",
    [
        "[" * 500 + "]" * 500,
        "[" * 9_000 + "]" * 9_000,
        '{"a":' * 6_000 + "1" + "}" * 6_000,
        "9" * 4_000,
        "9" * 40_000,
        "-" + "9" * 4_000,
        "1e400",
        "1.0",
        "-0.0",
        "NaN",
        "Infinity",
        "-Infinity",
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\u0000"',
        "{}",
        '{"a":1,"a":2}',
    ],
    ids=lambda raw: raw[:12],
)
def test_monstrous_members_are_rejected_and_never_anything_else(name: str, raw: str) -> None:
    with pytest.raises(Rejected):
        read_ack(with_raw(name, raw))


@pytest.mark.parametrize("depth", range(100, 20_000, 450))
def test_nesting_of_any_depth_is_rejected_wherever_it_ends(depth: int) -> None:
    for name in ("stillframe", "body", "unknown"):
        with pytest.raises(Rejected):
            read_ack(with_raw(name, '{"a":' * (depth // 6) + "1" + "}" * (depth // 6)))
        with pytest.raises(Rejected):
            read_ack(with_raw(name, "[" * depth + "]" * depth))


def test_what_is_too_deep_to_be_signed_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep a text may be to be read, and a document to be written, differs from Python to Python."""

    def too_deep(*_: object) -> str:
        raise RecursionError

    text = ack_text()
    monkeypatch.setattr(protocol, "_signature", too_deep)

    with pytest.raises(Malformed, match="body: expected less nesting"):
        read_ack(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no JSON", "message: expected one JSON object"),
        ("[]", "message: expected one JSON object"),
        (with_raw("saga", '""'), "saga: expected a text"),
        (with_raw("kind", '"dance"'), "kind: expected one of " + ", ".join(ACK_KINDS)),
        (with_raw("body", "[]"), "body: expected a JSON object"),
        (with_raw("sequence", "-1"), "sequence: expected a whole number, 0 or more"),
    ],
    ids=["no JSON", "a list", "saga", "kind", "body", "sequence"],
)
def test_what_is_malformed_is_told_in_the_same_words_everywhere(text: str, told: str) -> None:
    with pytest.raises(Malformed) as rejected:
        read_ack(text)

    assert str(rejected.value) == told


@pytest.mark.parametrize("value", [-1, True, "1", None])
def test_a_number_that_is_none_is_told_by_its_name_and_what_it_should_be(value: object) -> None:
    with pytest.raises(Malformed, match=r"generation.*a whole number, 0 or more"):
        read_ack(with_raw("generation", json.dumps(value)))


def test_the_signature_is_of_canonical_json_behind_its_domain() -> None:
    """By another hand: whoever writes an agent of their own has docs/protocol.md alone."""
    body = '{"held":[{"kind":"filesystem","name":"/d\\u00e0ta"}]}'
    canonical = (
        f'{{"answers":2,"body":{body},"generation":1,"kind":"quiesced","saga":"{SAGA}",'
        f'"sent_at":{NOW},"sequence":3,"stillframe":1,"vm":"{VM}"}}'
    )
    expected = hmac.new(key(), b"stillframe ack v1\n" + canonical.encode(), hashlib.sha256).hexdigest()

    assert json.loads(ack_text())["signature"] == expected


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_is_never_signed(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_ack(ACK._replace(body={"ms": number}), key())


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_half_a_character_is_no_text(code: int) -> None:
    with pytest.raises(Malformed, match=r"saga.*a text"):
        read_ack(with_raw("saga", json.dumps(chr(code))))


def test_a_name_given_twice_cannot_smuggle_in_another_meaning() -> None:
    text = command_text()
    for name, other in (("kind", '"arm"'), ("generation", "9"), ("saga", '"another"'), ("expires_at", "1")):
        rejected_or_the_same("{" + f'"{name}":{other},' + text[1:])
        with pytest.raises(Rejected):
            read_command(text[:-1] + f',"{name}":{other}' + "}")


def test_a_member_that_was_not_signed_cannot_be_added() -> None:
    for text, read in ((command_text(), read_command), (ack_text(), read_ack)):
        with pytest.raises(BadSignature):
            read(text[:-1] + ',"dequeueCount":0}')


# --- the same in every Python that a guest may have ---------------------------------------

OTHER_PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python3"))

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from shared import protocol
given = json.load(sys.stdin)
key = bytes.fromhex(given["key"])
ack = protocol.decode_ack(given["ack"], lambda vm, saga: key)
command = protocol.decode_command(given["command"], given["vm"], lambda saga: key, 0)
derived = protocol.session_key(protocol.vm_key(b"master", given["vm"], 3), "saga")
print(json.dumps([protocol.encode_ack(ack, key), protocol.encode_command(command, key), derived.hex()]))
"""


def _id(python: Path) -> str:
    return python.parent.parent.name


@pytest.mark.parametrize("python", OTHER_PYTHONS or [Path(sys.executable)], ids=_id)
def test_every_python_reads_the_same_and_signs_the_same(python: Path) -> None:
    if subprocess.run([python, "-c", ""], check=False).returncode:
        pytest.skip(f"{python} does not run here")
    body = {"z": "\U0001f9ca", "a": ["\ud800", 2**80, -1, None, True], "é": {"ß": '\x00\x7f\u2028\\/"'}}
    texts = {"ack": ack_text(body=body), "command": command_text(body=body)}
    given = json.dumps({**texts, "vm": VM, "key": key().hex()})
    root = Path(protocol.__file__).parent.parent
    answer = subprocess.run(
        [python, "-c", SCRIPT, root], input=given, capture_output=True, text=True, check=True
    )

    derived = session_key(vm_key(b"master", VM, 3), "saga").hex()
    assert json.loads(answer.stdout) == [texts["ack"], texts["command"], derived]
