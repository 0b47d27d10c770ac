"""Route templates of HTTP triggers, and which function a request is for.

ASP.NET route templates as far as function apps use them: literals, `{name}`, `{name?}`, `{name:constraint}`,
`{name=default}` and a final `{*rest}`. Literals match without regard to case.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.functions_host.functions import Function, HttpTrigger

_CONSTRAINTS = {
    "": r"[^/]+",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?:true|false)",
    "guid": r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}",
    "int": r"-?\d{1,10}",
    "long": r"-?\d{1,19}",
}
_PARAMETER = re.compile(
    r"\{(?P<star>\*{0,2})(?P<name>\w+)(?P<optional>\?)?(:(?P<constraint>\w+)\??)?(=(?P<default>[^}]*))?\}"
)


class RouteError(ValueError):
    """A route template that this host cannot read; `function` and `template` name it."""

    def __init__(self, function: str, template: str) -> None:
        super().__init__(f"function {function!r}: the route {template!r} is not understood")
        self.function = function
        self.template = template


class NoSuchRouteError(Exception):
    """No function has a route for the path."""


class MethodNotAllowedError(Exception):
    """Functions have a route for the path, but for other methods; `allowed` lists them."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


@dataclass(frozen=True)
class Route:
    """A compiled route. `precedence` sorts the more special before the more general."""

    function: Function
    trigger: HttpTrigger
    pattern: re.Pattern[str]
    defaults: Mapping[str, str]
    precedence: tuple[int, ...]


class RouteTable:
    """All routes of the app, without the route prefix."""

    def __init__(self, functions: Sequence[Function]) -> None:
        """Compile the routes of the HTTP functions. Raises RouteError."""
        self._routes = sorted(
            (
                _compile(function, function.trigger)
                for function in functions
                if isinstance(function.trigger, HttpTrigger)
            ),
            key=lambda route: route.precedence,
        )

    def find(self, method: str, path: str) -> tuple[Function, HttpTrigger, dict[str, str]]:
        """The function for a request, with its route parameters.

        Raises NoSuchRouteError and MethodNotAllowedError.
        """
        allowed: set[str] = set()
        for route in self._routes:
            match = route.pattern.fullmatch(path.removeprefix("/").removesuffix("/"))
            if match is None:
                continue
            if route.trigger.methods and method.upper() not in route.trigger.methods:
                allowed.update(route.trigger.methods)
                continue
            given = {name: value for name, value in match.groupdict().items() if value is not None}
            return route.function, route.trigger, {**route.defaults, **given}
        if allowed:
            raise MethodNotAllowedError(sorted(allowed))
        raise NoSuchRouteError(path)


def _compile(function: Function, trigger: HttpTrigger) -> Route:
    pattern = ""
    defaults: dict[str, str] = {}
    precedence: list[int] = []
    for segment in trigger.route.split("/"):
        slash = "/" if pattern else ""
        match = _PARAMETER.fullmatch(segment)
        if match is None:
            text, rank = _mixed_segment(function, trigger, segment)
            pattern += slash + text
            precedence.append(rank)
            continue
        part, rank = _parameter(function, trigger, match)
        may_be_missing = match["optional"] or match["star"] or match["default"] is not None
        pattern += f"(?:{slash}{part})?" if may_be_missing else slash + part
        precedence.append(rank)
        if match["default"] is not None:
            defaults[match["name"]] = match["default"]
    return Route(function, trigger, re.compile(pattern, re.IGNORECASE), defaults, tuple(precedence))


def _mixed_segment(function: Function, trigger: HttpTrigger, segment: str) -> tuple[str, int]:
    """A literal segment, or one like `{name}.{type}`: text around parameters."""
    text, end = "", 0
    for match in _PARAMETER.finditer(segment):
        part, _ = _parameter(function, trigger, match)
        text += re.escape(segment[end : match.start()]) + part
        end = match.end()
    rest = segment[end:]
    if "{" in rest or "}" in rest:
        raise RouteError(function.name, trigger.route)
    return text + re.escape(rest), 1 if end else 0


def _parameter(function: Function, trigger: HttpTrigger, match: re.Match[str]) -> tuple[str, int]:
    if match["star"]:
        return f"(?P<{match['name']}>.*)", 4
    constraint = match["constraint"] or ""
    if constraint not in _CONSTRAINTS:
        raise RouteError(function.name, trigger.route)
    return f"(?P<{match['name']}>{_CONSTRAINTS[constraint]})", 2 if constraint else 3
