"""What the storage lets this guest do: receive from its command queue, add to the ack queue.

Nothing is received or added. Each right is shown by a request that cannot succeed: the service looks for the
right first, and only then finds that there is no such message, or that what came is none.
"""

import base64
import calendar
import json
import time
import urllib.parse
from typing import Callable, List, Optional, Tuple

from agent.checks import FAILED, OK, WARNING, Finding
from agent.config import MANAGED_IDENTITY, Bootstrap, Settings
from agent.identity import ManagedIdentity
from agent.queues import BY_URL, Credential, InsecureUrl, NoCredential, Queue, QueueUnreachable, Reply

_TIMEOUT_S = 10.0
#: A message and a receipt that no queue has given.
_NO_MESSAGE = "00000000-0000-0000-0000-000000000000"
_NO_RECEIPT = "popreceipt=AAAAAAAAAAAAAAAAAAAA"

#: The storage's codes (documentation "Common REST API error codes" and "Authorize access"), with what helps.
_ADVICE = {
    "AuthorizationFailure": "The account's network rules refuse it: let its subnet in, or use a private "
    "endpoint",
    "AuthorizationPermissionMismatch": "{}; a new assignment takes up to 10 minutes",
    "AuthorizationProtocolMismatch": "The SAS is for https only: enrol it with https URLs",
    "AuthenticationFailed": "The SAS has expired, or its key is gone: enrol it anew; look at the clock",
    "InvalidAuthenticationInfo": "The token is of another tenant: look at the VM's identity",
    "KeyBasedAuthenticationNotPermitted": "The account takes no SAS by its key: use the VM's identity",
}


def look(bootstrap: Bootstrap, settings: Settings, *, reachable: bool) -> List[Finding]:
    """Look at the credential, then at what it opens, where the queues are ``reachable``."""
    findings, credential = _credential(bootstrap, settings)
    if credential is None or not reachable:
        return findings
    try:
        commands = Queue(bootstrap.command_queue, _TIMEOUT_S, credential)
        acks = Queue(bootstrap.ack_queue, _TIMEOUT_S, credential)
    except InsecureUrl as error:
        return [*findings, Finding(FAILED, "queues", str(error), "Enrol it again with https URLs")]
    by_identity = bootstrap.credential == MANAGED_IDENTITY
    process = "Give the VM's identity Storage Queue Data Message Processor on its command queue"
    add = "Give the VM's identity Storage Queue Data Message Sender on the ack queue"
    received = _asked(
        "commands",
        lambda: commands.ask("delete", "DELETE", _NO_RECEIPT, message=_NO_MESSAGE),
        process if by_identity else "Enrol it with a SAS that lets it process messages (sp=p)",
        (204, 400, 404),
    )
    added = _asked(
        "acks",
        lambda: acks.ask("put", "POST", body=b"<Nothing/>"),
        add if by_identity else "Enrol it with a SAS that lets it add messages (sp=a)",
        (400,),
    )
    return [*findings, received, added]


def _credential(bootstrap: Bootstrap, settings: Settings) -> Tuple[List[Finding], Optional[Credential]]:
    """Get a token, or look at each SAS; no credential where there is none to be had."""
    if bootstrap.credential != MANAGED_IDENTITY:
        urls = (("commands-sas", bootstrap.command_queue, "p"), ("acks-sas", bootstrap.ack_queue, "a"))
        return [sas(name, url, right, time.time()) for name, url, right in urls], BY_URL
    identity = ManagedIdentity(settings.imds, bootstrap.client_id, lambda: int(time.monotonic() * 1000))
    try:
        token = identity.token()
    except NoCredential as error:
        advice = (
            "Give the VM a managed identity (az vm identity assign); 169.254.169.254 must be reached directly"
        )
        return [Finding(FAILED, "identity", error.detail, advice)], None
    return [Finding(OK, "identity", "a token for {}".format(principal(token)))], identity.credential


def principal(token: str) -> str:
    """Say whom a token is for, as far as it tells: what role assignments name. It is not verified here."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("utf-8"))
        oid = str(claims["oid"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "an identity that it does not name"
    return "object id {}".format(ascii(oid)[1:-1][:64])


def sas(name: str, url: str, right: str, now: float) -> Finding:
    """Look at what a SAS says of itself; ``now`` is s since the epoch."""
    told = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    if "sig" not in told:
        return Finding(FAILED, name, "the URL has no SAS", "Enrol it with one, or with the VM's identity")
    granted = ascii(told.get("sp", ""))[1:-1]
    if granted and right not in granted:
        return Finding(FAILED, name, "it grants sp={}".format(granted), "Enrol it with sp=" + right)
    if told.get("si"):
        return Finding(OK, name, "by the stored policy {}".format(ascii(told["si"])[1:-1]))
    expiry = _moment(told.get("se", ""))
    if expiry is None:
        return Finding(WARNING, name, "it does not say until when it is good")
    if expiry <= now:
        advice = "The next run command brings a new one; better is the VM's identity"
        return Finding(FAILED, name, "it expired at {}".format(told["se"]), advice)
    return Finding(OK, name, "good until {}".format(told["se"]))


def _moment(text: str) -> Optional[float]:
    """Read the time of a SAS, one of the forms of ISO 8601 that the service takes (s since the epoch)."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"):
        try:
            return float(calendar.timegm(time.strptime(text, form)))
        except ValueError:
            continue
    return None


def _asked(name: str, ask: Callable[[], Reply], grant: str, good: Tuple[int, ...]) -> Finding:
    try:
        reply = ask()
    except QueueUnreachable as error:
        return Finding(
            FAILED, name, str(error), "Outbound 443 must stay open, and the identity's service too"
        )
    answered = " ".join(part for part in (str(reply.status), reply.code) if part)
    if reply.code == "QueueNotFound":
        advice = "The app makes it with its first session of this VM; if it had one, enrol the guest again"
        return Finding(FAILED, name, "there is no such queue", advice)
    if reply.status in (401, 403):
        return Finding(
            FAILED, name, "refused ({})".format(answered), _ADVICE.get(reply.code, "{}").format(grant)
        )
    if reply.status not in good:
        return Finding(
            FAILED, name, "the service answered {}".format(answered), "Try again; look at its health"
        )
    return Finding(OK, name, "reached and allowed")
