"""Calls of Azure Resource Manager, as the person who restores: the app has no right to make disks or VMs."""

import ipaddress
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from cli.errors import BadUsage, Broken, CliError, Code, NotAllowed, TooLong, Unreachable

PUBLIC_CLOUD = "https://management.azure.com"
#: Seconds that an answer, and the Azure CLI, may take.
_WITHIN_S, _AZ_WITHIN_S = 60.0, 60.0
_TRIES = 4
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
#: A token is good for an hour at least; ``az`` keeps it, so that asking again costs little.
_TOKEN_FOR_S = 20 * 60.0
#: Between two looks at something in the making (s): the first, and the longest.
_LOOK_S, _LONGEST_LOOK_S = 0.5, 5.0

#: By resource type in lower case: the versions that the app's own client sends (azure-mgmt-compute 39.0.0),
#: and one of Microsoft.Network that knows all that is sent here.
API_VERSIONS: Mapping[str, str] = {
    "virtualmachines": "2026-04-01",
    "restorepointcollections": "2026-04-01",
    "restorepoints": "2026-04-01",
    "disks": "2026-03-02",
    "snapshots": "2026-03-02",
    "networkinterfaces": "2024-05-01",
}


class AzureRefused(CliError):
    """Azure refused a request, or failed what it had accepted. ``azure_code`` is its own word for it."""

    code = Code.REFUSED

    def __init__(self, what: str, azure_code: str, message: str) -> None:
        super().__init__(f"{what}: {message} ({azure_code})")
        self.azure_code = azure_code


@dataclass(frozen=True, slots=True)
class Begun:
    """Something that Azure has accepted; ``operation`` is where it tells how it goes, if it says so."""

    resource_id: str
    operation: str


@dataclass(slots=True)
class Arm:
    """Azure Resource Manager at ``endpoint``. ``sleep`` waits for seconds, ``now_s`` is a monotonic clock."""

    endpoint: str
    environment: Mapping[str, str]
    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic
    _token: tuple[str, float] = ("", -_TOKEN_FOR_S)
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Make the client; nothing is connected yet."""
        self._http = httpx.Client(timeout=_WITHIN_S, transport=self.transport, follow_redirects=False)

    def __enter__(self) -> Self:
        """Connections are made when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._http.close()

    def find(self, resource_id: str, **query: str) -> dict[str, Any] | None:
        """Read a resource; None where there is none."""
        answer = self._call("GET", self._url(resource_id), query | _version(resource_id))
        return None if answer.status_code == 404 else _body(answer)

    def list(self, collection_id: str) -> list[dict[str, Any]]:
        """Read a list, all of its pages; empty where the resource group is not there."""
        found: list[dict[str, Any]] = []
        url, query = self._url(collection_id), _version(collection_id)
        while url:
            answer = self._call("GET", url, query)
            if answer.status_code == 404:
                return found
            body = _body(answer)
            found += body.get("value", [])
            url, query = self._own(body.get("nextLink") or ""), {}
        return found

    def put(self, resource_id: str, body: Mapping[str, Any]) -> Begun:
        """Ask for a resource to be made as ``body`` says."""
        answer = self._call("PUT", self._url(resource_id), _version(resource_id), body)
        if answer.status_code == 404:
            raise _refusal(answer, f"{_short(resource_id)} was not made")
        return Begun(resource_id, self._own(answer.headers.get("Azure-AsyncOperation", "")))

    def delete(self, resource_id: str) -> Begun:
        """Ask for a resource to be deleted; one that is not there is fine."""
        answer = self._call("DELETE", self._url(resource_id), _version(resource_id))
        return Begun(resource_id, self._own(answer.headers.get("Azure-AsyncOperation", "")))

    def wait(self, begun: Begun, deadline_s: float) -> None:
        """Wait until what was begun is done.

        Raises:
            AzureRefused: it failed.
            TooLong: it was not done by ``deadline_s``.
        """
        pause_s = _LOOK_S
        while not self._is_done(begun):
            if self.now_s() + pause_s > deadline_s:
                raise TooLong(f"{_short(begun.resource_id)}: Azure was not done in time")
            self.sleep(pause_s)
            pause_s = min(_LONGEST_LOOK_S, pause_s * 1.5)

    def wait_gone(self, begun: Begun, deadline_s: float) -> None:
        """Wait until what was to be deleted is gone. Raises as `wait` does."""
        if begun.operation:
            self.wait(begun, deadline_s)

    def _is_done(self, begun: Begun) -> bool:
        if begun.operation:
            told = _body(self._call("GET", begun.operation, {}))
            state, error = str(told.get("status", "")), told.get("error") or {}
        else:
            found = self.find(begun.resource_id)
            state, error = str((found or {}).get("properties", {}).get("provisioningState", "Succeeded")), {}
        if state in ("Failed", "Canceled"):
            code, message = str(error.get("code", state)), str(error.get("message", "Azure does not say why"))
            raise AzureRefused(_short(begun.resource_id), code, message)
        return state == "Succeeded"

    def _call(
        self, method: str, url: str, query: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Send a request, again where Azure asks for patience: each may be repeated. 404 is an answer."""
        for number in range(1, _TRIES + 1):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            try:
                answer = self._http.request(method, url, params=query or None, json=body, headers=headers)
            except httpx.TransportError as error:
                if number == _TRIES:
                    raise Unreachable(f"{self.endpoint} cannot be reached: {error}") from None
                self.sleep(_PAUSE_S * number)
                continue
            if answer.status_code != 429 and answer.status_code < 500:
                break
            if number < _TRIES:
                after = answer.headers.get("Retry-After", "")
                self.sleep(min(_LONGEST_PAUSE_S, float(after) if after.isdecimal() else _PAUSE_S * number))
        if answer.status_code >= 400 and answer.status_code != 404:
            raise _refusal(answer, f"{method} {_short(urlsplit(url).path)}")
        return answer

    def _bearer(self) -> str:
        token, since_s = self._token
        if self.now_s() - since_s >= _TOKEN_FOR_S:
            token = token_for(self.endpoint, self.environment)
            self._token = (token, self.now_s())
        return token

    def _url(self, resource_id: str) -> str:
        return f"{self.endpoint}{resource_id}"

    def _own(self, url: str) -> str:
        """Give a URL back that leads to Azure Resource Manager: our token goes nowhere else."""
        if url and urlsplit(url)[:2] != urlsplit(self.endpoint)[:2]:
            raise Broken(f"{self.endpoint} sent us on to another host: {urlsplit(url).hostname}")
        return url


def arm_endpoint(environment: Mapping[str, str]) -> str:
    """Give the endpoint: that of the public cloud, or the one of STILLFRAME_ARM_ENDPOINT.

    Raises:
        BadUsage: it is no URL that a token may be sent to.
    """
    endpoint = (environment.get("STILLFRAME_ARM_ENDPOINT") or PUBLIC_CLOUD).rstrip("/")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        raise BadUsage(f"STILLFRAME_ARM_ENDPOINT {endpoint}: expected one like {PUBLIC_CLOUD}")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise BadUsage(f"STILLFRAME_ARM_ENDPOINT {endpoint}: a token would be sent in the clear")
    return endpoint


def token_for(endpoint: str, environment: Mapping[str, str]) -> str:
    """Give a token: that of STILLFRAME_ARM_TOKEN, or one of the Azure CLI, whoever is signed in there.

    A stand-in on this machine gets one that proves nothing.

    Raises:
        NotAllowed: nobody is signed in, or there is no Azure CLI.
    """
    if given := environment.get("STILLFRAME_ARM_TOKEN"):
        return given
    if _is_loopback(urlsplit(endpoint).hostname or ""):
        return "stillframe-on-loopback"
    command = ["az", "account", "get-access-token", "--resource", f"{endpoint}/"]
    hint = "Sign in with az login (a person, --identity or --service-principal), or set STILLFRAME_ARM_TOKEN."
    try:
        ended = subprocess.run(
            [*command, "--query", "accessToken", "--output", "tsv"],
            capture_output=True,
            check=False,
            text=True,
            timeout=_AZ_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAllowed(f"The Azure CLI gave no token: {error}", hint=hint) from None
    if ended.returncode or not ended.stdout.strip():
        first_line = ended.stderr.strip().partition("\n")[0]
        raise NotAllowed(f"The Azure CLI gave no token: {first_line}", hint=hint)
    return ended.stdout.strip()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _version(resource_id: str) -> dict[str, str]:
    """Give the version to ask for: that of the last resource type in the path."""
    names = resource_id.rpartition("/providers/")[2].split("/")[1:]
    kind = names[-1] if len(names) % 2 else names[-2]
    return {"api-version": API_VERSIONS[kind.lower()]}


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        raise Broken(f"{answer.url.host} answered something that is no JSON") from None
    if not isinstance(body, dict):
        raise Broken(f"{answer.url.host} answered something that is no JSON object")
    return body


def _refusal(answer: httpx.Response, what: str) -> CliError:
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = f"Http{answer.status_code}", "Azure does not say why"
    if answer.status_code in (401, 403):
        return NotAllowed(f"{what}: {message} ({code})", hint="docs/restore.md says which rights it takes.")
    if answer.status_code == 429 or answer.status_code >= 500:
        return Unreachable(f"{what}: {message} ({code})")
    return AzureRefused(what, code, message)


def _short(resource_id: str) -> str:
    """Give type and name of a resource."""
    return "/".join(resource_id.rstrip("/").split("/")[-2:])
