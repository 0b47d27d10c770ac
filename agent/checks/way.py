"""The way from the guest to a service of the storage: name, address, port, certificate, answer, clock.

Each step is tried by itself and the first that fails ends the way, so that one line says what to mend.
"""

import email.utils
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from agent.checks import FAILED, OK, WARNING, Finding, softened
from agent.config import Bootstrap
from agent.queues import checked, connection_to

#: Nobody: what stands for an enrolment where there is none.
NOBODY = Bootstrap("", b"", "", "")

_TIMEOUT_S = 10.0
_LONGEST = 64 * 1024
#: Commands expire by the clock of the app: an hour off, and none would ever be obeyed (ms).
_OFF_MS, _FAR_OFF_MS = 5_000, 60_000

#: The clouds' storage (Azure's documentation of endpoints), and who signs its certificates there (the page
#: "Azure Certificate Authority details"): anybody else sits in between.
_AZURE = (".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn", ".storage.azure.net")
_SIGNERS = ("Microsoft Corporation", "DigiCert Inc")

_OPEN = "Open outbound 443 to {} (network security group, firewall, route), or give it a private endpoint"
_BLOB_ONLY = "Only large scripts and upgrades by the app need it"


class Endpoint(NamedTuple):
    """A service; ``label`` begins the names of its findings. Without one that is not needed, all works."""

    label: str
    url: str
    needed: bool


class Seen(NamedTuple):
    """What was found on a way, and the `Date` of the service's answer ("" where none came)."""

    findings: List[Finding]
    date: str


def endpoints_of(bootstrap: Bootstrap, more: Sequence[str]) -> List[Endpoint]:
    """Give the services to look at: those of the two queues, the blobs beside them, and ``more`` URLs."""
    services: Dict[str, Endpoint] = {}
    for label, url in (("queue", bootstrap.command_queue), ("acks", bootstrap.ack_queue)):
        if url:
            services.setdefault(_service(url), Endpoint(label, _service(url), needed=True))
    for url in list(services):
        blob = url.replace(".queue.", ".blob.", 1)
        services.setdefault(blob, Endpoint("blob", blob, needed=False))
    for url in more:
        kind = (urllib.parse.urlsplit(url).hostname or "").split(".")[1:2]
        label = kind[0] if kind and kind[0] in ("queue", "blob") else "endpoint"
        services.setdefault(url.rstrip("/"), Endpoint(label, url.rstrip("/"), needed=True))
    return list(services.values())


def _service(queue_url: str) -> str:
    """Take a queue's name and SAS off its URL."""
    parts = urllib.parse.urlsplit(queue_url)
    return "{}://{}{}".format(parts.scheme, parts.netloc, parts.path.rstrip("/").rpartition("/")[0])


def proxies(environ: Mapping[str, str]) -> List[Finding]:
    """Say of a proxy in the environment that the agent goes by none."""
    named = [name for name in ("HTTPS_PROXY", "https_proxy") if environ.get(name)]
    if not named:
        return []
    advice = (
        "Let the storage's endpoints be reached directly: waiting behind a proxy would lengthen the freeze"
    )
    return [Finding(WARNING, "proxy", "{} is set, the agent does not use it".format(named[0]), advice)]


def look(endpoint: Endpoint) -> Seen:
    """Go the way to a service, as far as it can be gone.

    Raises:
        InsecureUrl: it is plain http to another machine.
    """
    parts = checked(endpoint.url)
    findings: List[Finding] = []
    date = _go(endpoint.label, parts, findings)
    if not endpoint.needed:
        findings = [softened(finding, _BLOB_ONLY) for finding in findings]
    return Seen(findings, date)


def _go(label: str, parts: urllib.parse.SplitResult, findings: List[Finding]) -> str:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _resolve(host, port)
    findings.append(dns(label, host, addresses))
    if not addresses:
        return ""
    found, connection = _connect(label, host, port, addresses)
    findings.append(found)
    if connection is None:
        return ""
    with connection:
        if parts.scheme == "https":
            findings.append(_tls(label, host, connection))
            if findings[-1].verdict == FAILED:
                return ""
    answered, date = _http(label, parts)
    findings.append(answered)
    return date


def _resolve(host: str, port: int) -> List[str]:
    """Give the host's addresses, [] if there are none; the resolver itself knows no time-out."""
    found: List[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return
        found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(_TIMEOUT_S)
    return list(found)


def dns(label: str, host: str, addresses: Sequence[str]) -> Finding:
    """Judge what a name resolves to."""
    name = label + "-dns"
    if not addresses:
        advice = "Look at the guest's DNS servers; a private endpoint needs its zone linked to this network"
        return Finding(FAILED, name, "{} has no address".format(host), advice)
    kinds = {_kind(address) for address in addresses}
    told = "{} is {}: {}".format(host, ", ".join(addresses), " and ".join(sorted(kinds)))
    if len(kinds) > 1:
        return Finding(
            WARNING, name, told, "Look at the zone of the private endpoint: only its address belongs in it"
        )
    return Finding(OK, name, told)


def _kind(address: str) -> str:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return "this machine"
    return "private" if ip.is_private else "public"


def _connect(
    label: str, host: str, port: int, addresses: Sequence[str]
) -> Tuple[Finding, Optional[socket.socket]]:
    name, wrong = label + "-tcp", ""
    for address in addresses:
        try:
            connection = socket.create_connection((address, port), timeout=_TIMEOUT_S)
        except OSError as error:
            wrong = wrong or "{} port {}: {}".format(address, port, _words(error))
            continue
        if wrong:  # the agent tries all of them too, but waits
            return Finding(WARNING, name, wrong, _OPEN.format(host)), connection
        return Finding(OK, name, "{} port {} is open".format(address, port)), connection
    return Finding(FAILED, name, wrong, _OPEN.format(host)), None


def _tls(label: str, host: str, connection: socket.socket) -> Finding:
    name = label + "-tls"
    try:
        with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secured:
            certificate, version = secured.getpeercert() or {}, secured.version()
    except (ssl.CertificateError, ssl.SSLError) as error:
        return Finding(FAILED, name, *distrust(host, error))
    except OSError as error:
        told = "no TLS with {}: {}".format(host, _words(error))
        return Finding(
            FAILED, name, told, "Something in between lets the connection through and ends it here"
        )
    return trust(name, host, certificate, version or "TLS")


def distrust(host: str, error: Exception) -> Tuple[str, str]:
    """Give what is wrong with a certificate, and what to do."""
    why = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
    told = "{}: {}".format(host, ascii(why)[1:-1][:200])
    if "match" in why.lower():
        return told, "The name leads to another server: look at DNS, and at proxies in between"
    if "expired" in why.lower() or "not yet valid" in why.lower():
        return told, "Look at the guest's clock first, then at who presents this certificate"
    if "certificate" in why.lower():
        return (
            told,
            "Install the system's CA certificates, or take the storage out of the proxy that reads along",
        )
    return told, "Something in between speaks no TLS, or not with this guest's versions of it"


def trust(name: str, host: str, certificate: Dict[str, Any], version: str) -> Finding:
    """Judge a certificate that the system trusts: of Azure's storage one knows who signs it."""
    issuer = {key: value for pairs in certificate.get("issuer", ()) for key, value in pairs}
    signer = str(issuer.get("organizationName") or issuer.get("commonName") or "nobody named")
    told = "{}, certificate by {}".format(version, ascii(signer)[1:-1])
    if host.endswith(_AZURE) and signer not in _SIGNERS:
        advice = "A proxy reads along, commands and tokens too: take the storage's endpoints out of it"
        return Finding(WARNING, name, told, advice)
    return Finding(OK, name, told)


def _http(label: str, parts: urllib.parse.SplitResult) -> Tuple[Finding, str]:
    """Ask without a right: whatever the storage answers, it is the storage that answers."""
    name = label + "-http"
    connection = connection_to(parts, _TIMEOUT_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + "/?comp=list")
        response = connection.getresponse()
        response.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        told = "no answer from {}: {}".format(parts.hostname, _words(error))
        return Finding(FAILED, name, told, _OPEN.format(parts.hostname)), ""
    finally:
        connection.close()
    server = ascii(response.headers.get("Server", "a server that does not say what it is"))[1:-1][:80]
    if not response.headers.get("x-ms-request-id"):
        told = "{} answered {}: that is not the storage".format(server, response.status)
        return Finding(FAILED, name, told, "Look for a proxy or a portal in between"), ""
    return Finding(OK, name, "{} answers".format(server)), response.headers.get("Date", "")


def clock(date: str, now: Optional[float] = None) -> Finding:
    """Compare the guest's clock (``now``, s since the epoch) with the service's `Date`."""
    said = email.utils.parsedate_tz(date)
    if said is None:
        return Finding(WARNING, "clock", "the service did not say what time it is")
    off_ms = int(((time.time() if now is None else now) - email.utils.mktime_tz(said)) * 1000)
    told = "{:+.1f} s against the service".format(off_ms / 1000)
    advice = "Set it (chrony, w32time): commands expire by the app's clock"
    if abs(off_ms) > _FAR_OFF_MS:
        return Finding(FAILED, "clock", told, advice)
    return Finding(WARNING, "clock", told, advice) if abs(off_ms) > _OFF_MS else Finding(OK, "clock", told)


def _words(error: Exception) -> str:
    """Say what went wrong, in one printable line."""
    if isinstance(error, socket.timeout):
        return "no answer within {:.0f} s".format(_TIMEOUT_S)
    return ascii(getattr(error, "strerror", "") or str(error) or type(error).__name__)[1:-1][:200]
