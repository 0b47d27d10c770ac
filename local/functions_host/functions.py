"""What the indexed functions are bound to, read from the runtime's metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.functions_host.protos import RpcFunctionMetadata
from local.functions_host.settings import HostSettings

_HTTP_LEVELS = ("anonymous", "function", "admin")


class UnsupportedBindingError(Exception):
    """A binding that this host does not have; `function` and `binding` name it."""

    def __init__(self, function: str, binding: str) -> None:
        super().__init__(
            f"function {function!r} is bound to {binding!r}; this host has queueTrigger, timerTrigger, "
            "httpTrigger, queue and http"
        )
        self.function = function
        self.binding = binding


@dataclass(frozen=True)
class QueueTrigger:
    """Messages of a queue; `connection` is a setting's name."""

    argument: str
    queue: str
    connection: str


@dataclass(frozen=True)
class TimerTrigger:
    """Occurrences of an NCrontab schedule."""

    argument: str
    schedule: str
    run_on_startup: bool
    use_monitor: bool


@dataclass(frozen=True)
class HttpTrigger:
    """Requests to a route (below the route prefix); no methods means all of them."""

    argument: str
    route: str
    methods: tuple[str, ...]
    auth_level: str


@dataclass(frozen=True)
class QueueOutput:
    """Messages that the function sends; the argument "$return" is its return value."""

    argument: str
    queue: str
    connection: str


@dataclass(frozen=True)
class Function:
    """An indexed function. `http_output` is the argument that holds its HTTP answer, if it has one."""

    name: str
    function_id: str
    trigger: QueueTrigger | TimerTrigger | HttpTrigger
    queue_outputs: tuple[QueueOutput, ...]
    http_output: str | None


def read_functions(metadata: list[RpcFunctionMetadata], settings: HostSettings) -> list[Function]:
    """All functions that are not disabled. Raises UnsupportedBindingError, SettingsError."""
    return [_read(item, settings) for item in metadata if not settings.is_disabled(item.name)]


def _read(metadata: RpcFunctionMetadata, settings: HostSettings) -> Function:
    trigger: QueueTrigger | TimerTrigger | HttpTrigger | None = None
    outputs: list[QueueOutput] = []
    http_output: str | None = None
    for text in metadata.raw_bindings:
        binding: dict[str, Any] = json.loads(text)
        argument = str(binding["name"])
        match binding["type"]:
            case "queueTrigger":
                trigger = QueueTrigger(argument, *_queue(binding, settings))
            case "timerTrigger":
                trigger = _timer(argument, binding, settings)
            case "httpTrigger":
                trigger = _http(argument, binding, settings, metadata.name)
            case "queue" if binding["direction"] == "OUT":
                outputs.append(QueueOutput(argument, *_queue(binding, settings)))
            case "http":
                http_output = argument
            case other:
                raise UnsupportedBindingError(metadata.name, other)
    if trigger is None:
        raise UnsupportedBindingError(metadata.name, "no trigger")
    return Function(metadata.name, metadata.function_id, trigger, tuple(outputs), http_output)


def _queue(binding: Mapping[str, Any], settings: HostSettings) -> tuple[str, str]:
    return settings.resolve(binding["queueName"]).lower(), settings.resolve(binding.get("connection") or "")


def _timer(argument: str, binding: Mapping[str, Any], settings: HostSettings) -> TimerTrigger:
    return TimerTrigger(
        argument,
        settings.resolve(binding["schedule"]),
        run_on_startup=bool(binding.get("runOnStartup", False)),
        use_monitor=bool(binding.get("useMonitor", True)),
    )


def _http(argument: str, binding: Mapping[str, Any], settings: HostSettings, name: str) -> HttpTrigger:
    level = str(binding.get("authLevel") or "function").lower()
    if level not in _HTTP_LEVELS:
        raise UnsupportedBindingError(name, f"httpTrigger with authLevel {level}")
    route = settings.resolve(binding.get("route") or name)
    methods = tuple(str(method).upper() for method in binding.get("methods") or ())
    return HttpTrigger(argument, route.strip("/"), methods, level)
