"""Who is told when a run or a VM of it has ended, is overdue or was missed. No secret stands here."""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, urlsplit

from shared.policy.fields import DocumentError, Fields

MOST_NOTIFICATIONS = 10
MOST_HEADERS = 10
LONGEST_URL = 1_000
LONGEST_HEADER = 256
LONGEST_QUEUE = 63

#: Every webhook is signed by a secret of this name in capitals behind this: an application setting.
SECRET_SETTING = "STILLFRAME_WEBHOOK_SECRET_"  # noqa: S105 - the beginning of a setting's name

#: The names of secrets, and of queues (Azure: Naming queues and metadata).
SECRET_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
QUEUE_NAME = re.compile("[a-z0-9](?:-?[a-z0-9]){2,62}")
#: Queues of the app itself, of its guests and of the Functions host: nobody may write there by a policy.
OWN_QUEUES = ("stillframe", "cmd-", "azure-webjobs-")

_HEADER = re.compile("[A-Za-z0-9-]{1,64}")
_VALUE = re.compile("[ -~]*")
_URL = re.compile("https?://[!-~]+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: Headers that are Stillframe's or the connection's to set.
SET_BY_US = ("host", "user-agent", "te", "trailer", "upgrade", "expect", "connection", "keep-alive")
_SET_BY_US_PREFIXES = ("webhook-", "ce-", "content-", "transfer-", "proxy-", "accept")
#: Whoever may read a policy sees its headers.
_SECRET_WORDS = ("authorization", "cookie", "token", "secret", "password", "key")


class NoticeKind(StrEnum):
    """What somebody wants to be told of."""

    SUCCESS = "success"
    WARNING = "warning"
    """Degraded, cancelled, or with warnings of the guest."""

    FAILURE = "failure"
    OVERDUE = "overdue"
    """It goes on although its deadline is over; told once."""

    MISSED = "missed"
    """A schedule's time passed without a run."""


class NoticePer(StrEnum):
    """How much one notice is about."""

    RUN = "run"
    VM = "vm"


#: What is told where a notification does not say: everything that a person should look at.
BY_DEFAULT = (NoticeKind.WARNING, NoticeKind.FAILURE, NoticeKind.OVERDUE, NoticeKind.MISSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where notices are posted to. ``secret`` is the name of the secret that signs them."""

    url: str
    secret: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Who is told of what: a webhook, or else a queue of the app's own storage account."""

    on: tuple[NoticeKind, ...] = BY_DEFAULT
    per: NoticePer = NoticePer.RUN
    webhook: Webhook | None = None
    queue: str = ""


def secret_setting(name: str) -> str:
    """Give the application setting that holds the secret of this name."""
    return SECRET_SETTING + name.upper()


def read_notifications(above: Fields) -> tuple[Notification, ...]:
    """Read the list ``notifications``; missing means nobody is told.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not above.has("notifications"):
        return ()
    at, listed = above.at("notifications"), above.raw("notifications")
    if not isinstance(listed, list) or len(listed) > MOST_NOTIFICATIONS:
        raise DocumentError(at, f"expected a list of at most {MOST_NOTIFICATIONS} notifications")
    return tuple(_notification(each, f"{at}[{index}]") for index, each in enumerate(listed))


def _notification(data: Any, at: str) -> Notification:
    fields = Fields(data, at, ("on", "per", "webhook", "queue"))
    if fields.has("webhook") == fields.has("queue"):
        raise DocumentError(at, "expected webhook or queue, and only one of them")
    per = fields.choice("per", NoticePer, NoticePer.RUN)
    on = _kinds(fields)
    if per is NoticePer.VM and on == (NoticeKind.MISSED,):
        raise DocumentError(fields.at("on"), "missed is told per run: a run that was missed has no VMs")
    return Notification(
        on=on,
        per=per,
        webhook=_webhook(fields) if fields.has("webhook") else None,
        queue=_queue(fields) if fields.has("queue") else "",
    )


def _kinds(fields: Fields) -> tuple[NoticeKind, ...]:
    if not fields.has("on"):
        return BY_DEFAULT
    listed, at = fields.raw("on"), fields.at("on")
    known = ", ".join(NoticeKind)
    if not isinstance(listed, list) or not listed:
        raise DocumentError(at, f"expected a list of at least one of {known}")
    kinds: list[NoticeKind] = []
    for index, each in enumerate(listed):
        try:
            kind = NoticeKind(each)
        except ValueError:
            raise DocumentError(f"{at}[{index}]", f"expected one of {known}") from None
        if kind in kinds:
            raise DocumentError(f"{at}[{index}]", f"{kind} is named twice")
        kinds.append(kind)
    return tuple(kinds)


def _webhook(above: Fields) -> Webhook:
    fields = Fields(above.raw("webhook"), above.at("webhook"), ("url", "secret", "headers"))
    url = fields.text("url", longest=LONGEST_URL)
    problem = wrong_url(url)
    if problem:
        raise DocumentError(fields.at("url"), problem)
    secret = fields.text("secret", longest=64)
    if not SECRET_NAME.fullmatch(secret):
        problem = (
            "expected the name of a secret, of small letters, digits and _: the secret itself is the "
            f"application setting {SECRET_SETTING}<NAME>"
        )
        raise DocumentError(fields.at("secret"), problem)
    return Webhook(url=url, secret=secret, headers=_headers(fields))


def wrong_url(url: str) -> str:
    """Say what would be right where a URL is none that a webhook may have; empty when it is."""
    if not _URL.fullmatch(url):
        return "expected an https URL of printable ASCII characters"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return "expected a URL with a host, and a port from 1 to 65535 if any"
    host = parts.hostname or ""
    if not host or parts.port == 0:
        return "expected a URL with a host, and a port from 1 to 65535 if any"
    if "@" in parts.netloc:
        return "expected no user or password in the URL: notices are signed, by the secret that secret names"
    if "#" in url:
        return "expected no fragment (#): it is never sent"
    if parts.scheme == "http" and host not in _LOOPBACK:
        return "expected https: plain http only to 127.0.0.1"
    return _wrong_host(parts, host)


def _wrong_host(parts: SplitResult, host: str) -> str:
    """Refuse numbers in other clothes (``0x7f.1``, ``2130706433``), which resolvers take for addresses."""
    if "[" in parts.netloc:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return "expected an IPv6 address in the brackets"
        return ""
    labels = host.rstrip(".").split(".")
    if not all(re.fullmatch("[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", label) for label in labels):
        return "expected a host name, or an address"
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", labels[-1]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return "expected a host name, or an address of four decimal numbers"
    return ""


def _headers(above: Fields) -> tuple[tuple[str, str], ...]:
    headers = above.table("headers", most=MOST_HEADERS, longest=LONGEST_HEADER)
    for name, value in headers:
        at, lower = f"{above.at('headers')}.{name}", name.lower()
        if not _HEADER.fullmatch(name):
            raise DocumentError(at, "expected a header's name of letters, digits and hyphens, at most 64")
        if lower in SET_BY_US or lower.startswith(_SET_BY_US_PREFIXES):
            raise DocumentError(at, "this header is set by Stillframe, or by the connection")
        if any(word in lower for word in _SECRET_WORDS):
            problem = "a secret does not belong into a policy, which others may read: check the signature"
            raise DocumentError(at, problem)
        if not _VALUE.fullmatch(value) or value != value.strip():
            raise DocumentError(at, "expected printable ASCII characters, without spaces at the ends")
        if sum(lower == other.lower() for other, _ in headers) > 1:
            raise DocumentError(at, "this header is named twice: the case of its name does not matter")
    return headers


def _queue(fields: Fields) -> str:
    queue = fields.text("queue", longest=LONGEST_QUEUE)
    problem = wrong_queue(queue)
    if problem:
        raise DocumentError(fields.at("queue"), problem)
    return queue


def wrong_queue(queue: str) -> str:
    """Say what would be right where a queue may not be told of anything; empty when it may."""
    if not QUEUE_NAME.fullmatch(queue) or len(queue) > LONGEST_QUEUE:
        return f"expected a queue's name: 3 to {LONGEST_QUEUE} small letters, digits and single hyphens"
    if queue.startswith(OWN_QUEUES):
        return f"expected a queue of your own: names that begin with {', '.join(OWN_QUEUES)} are taken"
    return ""
