"""The message types that `azure_functions_runtime` builds and reads, without protobuf and gRPC.

The runtime takes a module with these names as its property "protos"; names and members are therefore those
of FunctionRpc.proto (azure-functions-language-worker-protobuf), as far as the runtime touches them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import ClassVar


class TypedData:
    """One value of one kind: string, json, bytes, http, int, double, or none at all."""

    __slots__ = ("kind", "value")

    def __init__(self, **one: object) -> None:
        if len(one) > 1:
            raise TypeError(f"TypedData holds one value, got {sorted(one)}")
        self.kind: str | None = next(iter(one), None)
        self.value: object = next(iter(one.values()), None)

    def __getattr__(self, name: str) -> object:
        if name == self.kind:
            return self.value
        raise AttributeError(name)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - the runtime calls it by protobuf's name
        """Which kind is set, None when nothing is."""
        return self.kind


@dataclass(frozen=True, kw_only=True)
class RpcException:
    """An exception of the function, as text."""

    message: str = ""
    stack_trace: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class StatusResult:
    """How a request to the runtime ended."""

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    Cancelled: ClassVar[int] = 2

    status: int
    exception: RpcException | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerMetadata:
    """What the runtime says of itself."""

    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WorkerInitResponse:
    """The answer to worker_init_request; indexing errors are in `result`."""

    result: StatusResult
    capabilities: Mapping[str, str] = field(default_factory=dict)
    worker_metadata: WorkerMetadata | None = None


@dataclass(frozen=True, kw_only=True)
class BindingInfo:
    """Direction and data type of a binding (constants `in` 0, `out` 1, `inout` 2; `undefined` 0 ...)."""

    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    undefined: ClassVar[int] = 0
    string: ClassVar[int] = 1
    binary: ClassVar[int] = 2
    stream: ClassVar[int] = 3

    type: str
    direction: int
    data_type: int | None = None


@dataclass(frozen=True, kw_only=True)
class RpcRetryOptions:
    """A function's retry policy."""

    max_retry_count: int
    retry_strategy: str
    delay_interval: timedelta | None = None
    minimum_interval: timedelta | None = None
    maximum_interval: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class RpcFunctionMetadata:
    """One indexed function; `raw_bindings` is a list of JSON texts."""

    name: str
    function_id: str
    raw_bindings: Sequence[str]
    bindings: Mapping[str, BindingInfo]
    directory: str = ""
    script_file: str = ""
    entry_point: str = ""
    language: str = ""
    managed_dependency_enabled: bool = False
    is_proxy: bool = False
    retry_options: RpcRetryOptions | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FunctionMetadataResponse:
    """All indexed functions; None when the app has no function file."""

    result: StatusResult
    function_metadata_results: Sequence[RpcFunctionMetadata] | None
    use_default_metadata_indexing: bool = False


@dataclass(frozen=True, kw_only=True)
class FunctionLoadResponse:
    """The answer to function_load_request."""

    function_id: str
    result: StatusResult


@dataclass(frozen=True, kw_only=True)
class ParameterBinding:
    """A named value, in or out."""

    name: str
    data: TypedData | None

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - the runtime calls it by protobuf's name
        """Always "data": shared memory is not used."""
        return "data"


@dataclass(frozen=True, kw_only=True)
class RpcTraceContext:
    """W3C trace context of an invocation."""

    trace_parent: str
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RetryContext:
    """Which attempt of a retry policy this is; attempt 0 of 0 when there is no policy."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: RpcException | None = None


@dataclass(frozen=True, kw_only=True)
class InvocationRequest:
    """One invocation: inputs by parameter name, and the trigger's metadata."""

    invocation_id: str
    function_id: str
    input_data: Sequence[ParameterBinding]
    trigger_metadata: Mapping[str, TypedData]
    trace_context: RpcTraceContext
    retry_context: RetryContext = field(default_factory=RetryContext)


@dataclass(frozen=True, kw_only=True)
class InvocationResponse:
    """What the function returned and put into its outputs, or its exception in `result`."""

    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: Sequence[ParameterBinding] = ()


@dataclass(frozen=True, kw_only=True)
class NullableString:
    """A string that was set."""

    value: str


@dataclass(frozen=True, kw_only=True)
class NullableBool:
    """A flag that was set."""

    value: bool


@dataclass(frozen=True, kw_only=True)
class NullableDouble:
    """A number that was set."""

    value: float


@dataclass(frozen=True, kw_only=True)
class Timestamp:
    """Seconds since the epoch."""

    seconds: int


@dataclass(frozen=True, kw_only=True)
class NullableTimestamp:
    """A time that was set."""

    value: Timestamp


@dataclass(frozen=True, kw_only=True)
class RpcHttpCookie:
    """One Set-Cookie of a response; `max_age` in seconds."""

    # A namespace, because one of protobuf's members is called None.
    SameSite: ClassVar = SimpleNamespace(**{"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})

    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: int = 0
    max_age: NullableDouble | None = None


@dataclass(frozen=True, kw_only=True)
class RpcHttp:
    """A request to (method, url, params, query) or a response of (status_code, cookies) a function."""

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: TypedData | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    status_code: str = ""
    cookies: Sequence[RpcHttpCookie] | None = None
    enable_content_negotiation: bool = False
