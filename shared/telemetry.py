"""Spans that join what many invocations do for one backup into one trace.

OpenTelemetry's API alone: where no SDK is set up (``docs/operate.md`` says how in Azure) nothing is recorded
and nothing travels. A trace goes on in messages as ``traceparent`` (W3C Trace Context), and in what a saga
was asked to do: so an ack, which comes from a guest, is brought to the right trace without believing it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.version import VERSION

NAME = "stillframe"

_HEADER = "traceparent"
_NS_PER_MS = 1_000_000
_PROPAGATOR = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(NAME, VERSION)

Attributes = Mapping[str, str | int | bool]


def here() -> str:
    """Give the ``traceparent`` of the span that this is called in; empty when nothing is recorded."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER, "")


@contextmanager
def span(name: str, about: Attributes, *, of: str = "", kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """Record a block as a span; an error that leaves it is recorded too.

    Its parent is the span ``of`` (a ``traceparent``; one that is not valid counts as none), else the current
    one. What it is ``about`` becomes its attributes, named ``stillframe.<name>``.
    """
    context, attributes = _context(of), _named(about)
    with _tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes) as made:
        yield made


def past(name: str, about: Attributes, begun: int, ended: int, *, of: str = "") -> None:
    """Record a span that is over already. Both times are ms since the epoch."""
    made = _tracer.start_span(
        name, context=_context(of), start_time=begun * _NS_PER_MS, attributes=_named(about)
    )
    made.end(max(begun, ended) * _NS_PER_MS)


def _context(of: str) -> Context | None:
    return _PROPAGATOR.extract({_HEADER: of}) if of else None


def _named(about: Attributes) -> dict[str, str | int | bool]:
    return {f"{NAME}.{name}": value for name, value in about.items()}
