"""Commands to the guests and acks from them: schema, version, signature, keys.

The agent ships this very file, so it uses the standard library only and the syntax of Python 3.6.

A message is one JSON object. Its top-level names must differ from the queue trigger's own binding data
(``id``, ``dequeueCount``, ``popReceipt``, ``insertionTime``, ``expirationTime``, ``nextVisibleTime``,
``queueTrigger``): the Functions host merges a JSON body's members over them, without regard to case.
"""

import hashlib
import hmac
import json
from typing import Any, Callable, Dict, NamedTuple, Optional

VERSION = 1

#: A queue message holds 64 KiB, of which base64 leaves 48 KiB (Azure Storage scalability targets).
MAX_BYTES = 48 * 1024

ARM, QUIESCE, RESUME, RELEASE = "arm", "quiesce", "resume", "release"
COMMAND_KINDS = (ARM, QUIESCE, RESUME, RELEASE)

READY, QUIESCED, QUIESCE_FAILED, RESUMED, RELEASED = (
    "ready",
    "quiesced",
    "quiesce_failed",
    "resumed",
    "released",
)
ACK_KINDS = (READY, QUIESCED, QUIESCE_FAILED, RESUMED, RELEASED)

# Mixed into every signature, so that an ack can never be played back as a command.
_COMMAND_DOMAIN = b"stillframe command v1\n"
_ACK_DOMAIN = b"stillframe ack v1\n"


class Command(NamedTuple):
    """An order of the app to the agent of one session.

    ``sequence`` grows by one with each new command of a saga; a repeated command keeps its own.
    ``expires_at`` is in ms since the epoch; after it the command must not be carried out.
    """

    kind: str
    vm: str
    saga: str
    generation: int
    sequence: int
    expires_at: int
    body: Dict[str, Any]


class Ack(NamedTuple):
    """What an agent says of a command, or of itself (``answers`` is then 0).

    ``sequence`` grows by one with each new ack of a session; an ack sent again keeps its own.
    ``sent_at`` is in ms since the epoch by the guest's clock: a second witness, never a proof.
    """

    kind: str
    vm: str
    saga: str
    generation: int
    sequence: int
    answers: int
    sent_at: int
    body: Dict[str, Any]


class Rejected(Exception):
    """A message that must not be acted on. ``reason`` is a stable code for counters and logs."""

    reason = "rejected"


class Malformed(Rejected):
    """The text is not a message of this protocol: ``field`` says where, ``expected`` what would be right."""

    reason = "malformed"

    def __init__(self, field: str, expected: str) -> None:
        super().__init__("{}: expected {}".format(field, expected))
        self.field = field
        self.expected = expected


class TooLarge(Rejected):
    """The message is longer than ``MAX_BYTES``."""

    reason = "too_large"

    def __init__(self, size: int) -> None:
        super().__init__("{} bytes, allowed are {}".format(size, MAX_BYTES))
        self.size = size


class UnknownVersion(Rejected):
    """The message is of a protocol version that this side does not speak."""

    reason = "unknown_version"

    def __init__(self, version: Any) -> None:
        told = version if type(version) is int else type(version).__name__
        super().__init__("protocol version {}, spoken here is {}".format(told, VERSION))
        self.version = version


class BadSignature(Rejected):
    """The signature was not made with the session's key: forged, damaged or of another session."""

    reason = "bad_signature"

    def __init__(self, saga: str) -> None:
        super().__init__("signature does not match the session key of saga {}".format(saga))
        self.saga = saga


class Stranger(Rejected):
    """The message is for, or from, a VM or a saga that this side has nothing to do with."""

    reason = "stranger"

    def __init__(self, field: str, value: str) -> None:
        super().__init__("{} {} is not known here".format(field, value))
        self.field = field
        self.value = value


class Expired(Rejected):
    """The command came after its ``expires_at``."""

    reason = "expired"

    def __init__(self, late_ms: int) -> None:
        super().__init__("expired {} ms ago".format(late_ms))
        self.late_ms = late_ms


class Replayed(Rejected):
    """The command's sequence lies before one that was already carried out."""

    reason = "replayed"

    def __init__(self, sequence: int, last: int) -> None:
        super().__init__("sequence {} after {}".format(sequence, last))
        self.sequence = sequence
        self.last = last


def vm_key(master: bytes, vm: str, key_version: int = 1) -> bytes:
    """Derive the key of one VM from the master secret: HKDF-SHA256 (RFC 5869), 32 bytes.

    The guest gets this key once, at installation. ``key_version`` is the rotation.
    """
    return _hkdf(master, "stillframe vm key v{} {}".format(key_version, vm.lower()))


def session_key(key: bytes, saga: str) -> bytes:
    """Derive the key of one session from the VM's key: HKDF-SHA256 (RFC 5869), 32 bytes."""
    return _hkdf(key, "stillframe session key {}".format(saga))


def _hkdf(secret: bytes, info: str) -> bytes:
    """HKDF with an empty salt and one block of output, RFC 5869 sections 2.2 and 2.3."""
    extracted = hmac.new(b"\0" * 32, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info.encode("utf-8") + b"\x01", hashlib.sha256).digest()


def encode_command(command: Command, key: bytes) -> str:
    """Write a command as signed JSON text.

    Raises:
        TooLarge: the text is longer than ``MAX_BYTES``.
    """
    document = {
        "stillframe": VERSION,
        "kind": command.kind,
        "vm": command.vm,
        "saga": command.saga,
        "generation": command.generation,
        "sequence": command.sequence,
        "expires_at": command.expires_at,
        "body": command.body,
    }
    return _sign(document, _COMMAND_DOMAIN, key)


def encode_ack(ack: Ack, key: bytes) -> str:
    """Write an ack as signed JSON text.

    Raises:
        TooLarge: the text is longer than ``MAX_BYTES``.
    """
    document = {
        "stillframe": VERSION,
        "kind": ack.kind,
        "vm": ack.vm,
        "saga": ack.saga,
        "generation": ack.generation,
        "sequence": ack.sequence,
        "answers": ack.answers,
        "sent_at": ack.sent_at,
        "body": ack.body,
    }
    return _sign(document, _ACK_DOMAIN, key)


def decode_command(text: str, vm: str, key_of: Callable[[str], bytes], now: int) -> Command:
    """Read a command that was sent to the VM ``vm``; ``key_of(saga)`` gives the session key.

    ``now`` is in ms since the epoch.

    Raises:
        Rejected: one of its subclasses says why the command must not be carried out.
    """
    document = _parse(text, COMMAND_KINDS)
    command = Command(
        kind=document["kind"],
        vm=document["vm"],
        saga=document["saga"],
        generation=_whole(document, "generation"),
        sequence=_whole(document, "sequence"),
        expires_at=_whole(document, "expires_at"),
        body=document["body"],
    )
    if command.vm.lower() != vm.lower():
        raise Stranger("vm", command.vm)
    _verify(document, _COMMAND_DOMAIN, key_of(command.saga))
    if now > command.expires_at:
        raise Expired(now - command.expires_at)
    return command


def decode_ack(text: str, key_of: Callable[[str, str], Optional[bytes]]) -> Ack:
    """Read an ack; ``key_of(vm, saga)`` gives the session key, or None for a session unknown here.

    An ack does not expire: one that comes late is judged by its generation.

    Raises:
        Rejected: one of its subclasses says why the ack counts for nothing.
    """
    document = _parse(text, ACK_KINDS)
    ack = Ack(
        kind=document["kind"],
        vm=document["vm"],
        saga=document["saga"],
        generation=_whole(document, "generation"),
        sequence=_whole(document, "sequence"),
        answers=_whole(document, "answers"),
        sent_at=_whole(document, "sent_at"),
        body=document["body"],
    )
    key = key_of(ack.vm, ack.saga)
    if key is None:
        raise Stranger("saga", ack.saga)
    _verify(document, _ACK_DOMAIN, key)
    return ack


def _sign(document: Dict[str, Any], domain: bytes, key: bytes) -> str:
    document["signature"] = _signature(document, domain, key)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    if len(text) > MAX_BYTES:  # the text is ASCII: characters are bytes
        raise TooLarge(len(text))
    return text


def _verify(document: Dict[str, Any], domain: bytes, key: bytes) -> None:
    given = document["signature"].encode("utf-8")
    try:
        right = _signature(document, domain, key).encode("ascii")
    except RecursionError:
        raise Malformed("body", "less nesting") from None
    if not hmac.compare_digest(right, given):
        raise BadSignature(document["saga"])


def _signature(document: Dict[str, Any], domain: bytes, key: bytes) -> str:
    """HMAC-SHA256 over the document's canonical JSON: sorted names, no white space, ASCII only."""
    signed = {name: value for name, value in document.items() if name != "signature"}
    canonical = json.dumps(signed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.new(key, domain + canonical.encode("ascii"), hashlib.sha256).hexdigest()


def _parse(text: str, kinds: Any) -> Dict[str, Any]:
    """Check the shape that commands and acks share, before any key is touched."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise TooLarge(size)
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError):
        raise Malformed("message", "one JSON object") from None
    if not isinstance(document, dict):
        raise Malformed("message", "one JSON object")
    version = document.get("stillframe")
    if type(version) is not int or version != VERSION:
        raise UnknownVersion(version)
    for name in ("kind", "vm", "saga", "signature"):
        if not _is_text(document.get(name)):
            raise Malformed(name, "a text")
    if document["kind"] not in kinds:
        raise Malformed("kind", "one of " + ", ".join(kinds))
    if not isinstance(document.get("body"), dict):
        raise Malformed("body", "a JSON object")
    return document


def _is_text(value: Any) -> bool:
    """Whether this is a text, not empty, that UTF-8 can write: lone surrogates cannot be in a key's name."""
    return isinstance(value, str) and value != "" and not any("\ud800" <= c <= "\udfff" for c in value)


def _refuse(number: str) -> Any:
    """Numbers are whole here: a float's text is not the same in every Python, so could not be signed."""
    raise ValueError(number)


def _whole(document: Dict[str, Any], name: str) -> int:
    """Read a whole number that is not negative; JSON's true and false are not numbers here."""
    value = document.get(name)
    if type(value) is not int or value < 0:
        raise Malformed(name, "a whole number, 0 or more")
    return value
