"""What the app records with OpenTelemetry, as JSON lines in a folder: `spans.jsonl` and `metrics.jsonl`.

In Azure it is the Functions worker that sets OpenTelemetry up, when its distro is installed; here it is this.
"""

import atexit
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

#: The host's setting that names the folder; without it nothing is recorded.
FOLDER = "STILLFRAME_LOCAL_TELEMETRY"

_METRICS_EVERY_MS = 1_000


def configure(folder: Path) -> None:
    """Write all spans and metrics of this process into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    resource = Resource.create({"service.name": "stillframe"})
    traces = TracerProvider(resource=resource)
    spans = (folder / "spans.jsonl").open("a")
    traces.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans, formatter=_line)))
    trace.set_tracer_provider(traces)
    figures = (folder / "metrics.jsonl").open("a")
    exporter = ConsoleMetricExporter(out=figures, formatter=lambda data: data.to_json(indent=None) + "\n")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=_METRICS_EVERY_MS)
    meters = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    atexit.register(meters.shutdown)


def _line(span: ReadableSpan) -> str:
    return str(span.to_json(indent=None)) + "\n"
