"""What host.json, local.settings.json and the environment say, as one frozen value.

Precedence as with Core Tools: the real environment, then local.settings.json `Values`; host.json can be
overridden by `AzureFunctionsJobHost__a__b__c` settings.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.azurite import ACCOUNT, ACCOUNT_KEY
from local.functions_host.backoff import MINIMUM_POLL_S

_OVERRIDE_PREFIX = "AzureFunctionsJobHost__"
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d{1,7})?)")
_NAME_IN_PERCENT = re.compile(r"%([^%]+)%")
_DEFAULT_TIMEOUT_S = 30 * 60.0  # ScriptJobHostOptionsSetup: 30 minutes outside of the Consumption plan
_DEFAULT_MAX_POLL_S = 60.0  # QueuePollingIntervals.DefaultMaximum
_DEVELOPMENT_MAX_POLL_S = 2.0  # StorageQueuesWebJobsBuilderExtensions, when 60 s was left as it is
_LARGEST_BATCH = 32  # the queue service's own limit


class SettingsError(Exception):
    """A file or setting the host cannot work with; `where` names it, `reason` says why."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class ConnectionUnusableError(SettingsError):
    """A storage connection that is missing, or not a plain connection string."""


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """host.json `extensions.queues`; durations in seconds."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout_s: float
    max_polling_interval_s: float
    base64: bool
    dequeue_invisibility_s: float


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Everything the host was told. `function_timeout_s` is None when unbounded."""

    app_dir: Path
    environment: Mapping[str, str]
    queues: QueueOptions
    route_prefix: str
    function_timeout_s: float | None
    log_level: str
    zone: ZoneInfo

    def resolve(self, text: str) -> str:
        """Replace each %NAME% by the setting NAME; raises SettingsError when there is none."""

        def value_of(match: re.Match[str]) -> str:
            try:
                return self.environment[match[1]]
            except KeyError:
                raise SettingsError(text, f"the app setting {match[1]!r} is not set") from None

        return _NAME_IN_PERCENT.sub(value_of, text)

    def connection_string(self, name: str) -> str:
        """The connection string that a binding's `connection` names (empty: AzureWebJobsStorage).

        The setting AzureWebJobs<name> is looked for before <name>, as the host does. Raises
        ConnectionUnusableError for anything but Azurite or a plain connection string.
        """
        name = name or "AzureWebJobsStorage"
        text = self.environment.get(f"AzureWebJobs{name}") or self.environment.get(name)
        if text is None:
            if any(key.startswith(f"{name}__") for key in self.environment):
                reason = "is an identity-based connection; this host takes Azurite or a connection string"
            else:
                reason = "is not set"
            raise ConnectionUnusableError(f"connection {name!r}", reason)
        return _plain_connection_string(name, text)

    def is_disabled(self, function: str) -> bool:
        """Is the function switched off by AzureWebJobs.<function>.Disabled?"""
        key = f"AzureWebJobs.{function}.Disabled"
        value = self.environment.get(key, self.environment.get(key.replace(".", "_"), ""))
        return value.lower() in ("true", "1")


def load_settings(app_dir: Path, environ: Mapping[str, str]) -> HostSettings:
    """Read the app's files and merge the environment over them. Raises SettingsError."""
    host_json = _read_json(app_dir / "host.json")
    environment = {**_local_values(app_dir / "local.settings.json"), **environ}
    # Core Tools runs the host as Development; the queue listener's pace depends on it.
    environment.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    environment.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    environment.setdefault("AzureWebJobsScriptRoot", str(app_dir))
    _apply_overrides(host_json, environment)
    timeout_s = _optional_duration(host_json, "functionTimeout", _DEFAULT_TIMEOUT_S)
    return HostSettings(
        app_dir=app_dir,
        environment=environment,
        queues=_queue_options(_section(host_json, "extensions", "queues"), environment),
        route_prefix=str(_section(host_json, "extensions", "http").get("routePrefix", "api")).strip("/"),
        function_timeout_s=None if timeout_s < 0 else timeout_s,
        log_level=str(_section(host_json, "logging", "logLevel").get("default", "Information")),
        zone=_zone(environment),
    )


def parse_time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan, "[d.]hh:mm:ss[.fffffff]". Raises ValueError."""
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time span like 00:00:02.500")
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86400.0 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(path.name, "not found; run the host in a Functions app's folder") from None
    except ValueError as error:
        raise SettingsError(path.name, f"is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(path.name, "is not a JSON object")
    return content


def _local_values(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    content = _read_json(path)
    if content.get("IsEncrypted"):
        raise SettingsError(path.name, "is encrypted; decrypt it with `func settings decrypt`")
    return {str(name): str(value) for name, value in content.get("Values", {}).items()}


def _apply_overrides(host_json: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name.startswith(_OVERRIDE_PREFIX):
            continue
        *parents, last = name.removeprefix(_OVERRIDE_PREFIX).split("__")
        section = host_json
        for parent in parents:
            section = section.setdefault(_existing_key(section, parent), {})
        section[_existing_key(section, last)] = value


def _existing_key(section: Mapping[str, Any], name: str) -> str:
    return next((key for key in section if key.lower() == name.lower()), name)


def _section(content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        content = content.get(name, {})
        if not isinstance(content, dict):
            raise SettingsError("host.json", f"{'.'.join(path)} is not an object")
    return content


def _queue_options(section: Mapping[str, Any], environment: Mapping[str, str]) -> QueueOptions:
    batch_size = _integer(section, "batchSize", 16, 1, _LARGEST_BATCH)
    # One processor on the classic Consumption plan, whatever the machine has.
    processors = 1 if environment.get("WEBSITE_SKU") == "Dynamic" else os.cpu_count() or 1
    default_threshold = batch_size // 2 * processors
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise SettingsError("host.json", f"messageEncoding is {encoding!r}, not base64 or none")
    longest_poll_s = _optional_duration(section, "maxPollingInterval", _DEFAULT_MAX_POLL_S)
    if longest_poll_s < MINIMUM_POLL_S:
        raise SettingsError("host.json", f"maxPollingInterval is shorter than {MINIMUM_POLL_S} s")
    development = environment["AZURE_FUNCTIONS_ENVIRONMENT"].lower() == "development"
    if development and longest_poll_s == _DEFAULT_MAX_POLL_S:
        longest_poll_s = _DEVELOPMENT_MAX_POLL_S
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=_integer(section, "newBatchThreshold", default_threshold, 0, None),
        max_dequeue_count=_integer(section, "maxDequeueCount", 5, 1, None),
        visibility_timeout_s=_optional_duration(section, "visibilityTimeout", 0.0),
        max_polling_interval_s=longest_poll_s,
        base64=encoding == "base64",
        # The real host's 10 minutes cannot be configured; this name is for tests only.
        dequeue_invisibility_s=float(environment.get("STILLFRAME_TEST_DEQUEUE_INVISIBILITY", "600")),
    )


def _integer(section: Mapping[str, Any], name: str, default: int, low: int, high: int | None) -> int:
    try:
        value = int(section.get(name, default))
    except (TypeError, ValueError):
        raise SettingsError("host.json", f"{name} is not a number") from None
    if value < low or (high is not None and value > high):
        raise SettingsError("host.json", f"{name} is {value}, outside of {low} to {high or 'any'}")
    return value


def _optional_duration(section: Mapping[str, Any], name: str, default_s: float) -> float:
    """The duration in seconds; -1 stays -1 (the host's "unbounded")."""
    text = section.get(name)
    if text is None:
        return default_s
    if str(text) == "-1":
        return -1.0
    try:
        return parse_time_span(str(text))
    except ValueError as error:
        raise SettingsError("host.json", f"{name}: {error}") from None


def _zone(environment: Mapping[str, str]) -> ZoneInfo:
    name = environment.get("WEBSITE_TIME_ZONE") or environment.get("TZ") or "UTC"
    try:
        return ZoneInfo(name.lstrip(":"))
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingsError("WEBSITE_TIME_ZONE or TZ", f"{name!r} is no time zone") from None


def _plain_connection_string(name: str, text: str) -> str:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        host = "http://127.0.0.1"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={host}:10000/{ACCOUNT};QueueEndpoint={host}:10001/{ACCOUNT};"
            f"TableEndpoint={host}:10002/{ACCOUNT};"
        )
    if not ({"AccountName", "AccountKey"} <= parts.keys() or "SharedAccessSignature" in parts):
        raise ConnectionUnusableError(f"connection {name!r}", "is not a storage connection string")
    return text
