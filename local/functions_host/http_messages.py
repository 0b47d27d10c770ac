"""Between an HTTP request or answer on the wire and the RpcHttp that a function gets or gives."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web
from multidict import CIMultiDict

from local.functions_host.protos import RpcHttp, RpcHttpCookie, TypedData

_SAME_SITE = {1: "Lax", 2: "Strict", 3: "None"}
# The server frames the body itself; a function's own idea of these would break the message.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def rpc_request(request: web.Request, body: bytes, parameters: Mapping[str, str]) -> TypedData:
    """The request as the function gets it: header names in lower case, the body as bytes."""
    headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
    query = {name: ",".join(request.query.getall(name)) for name in request.query}
    http = RpcHttp(
        method=request.method,
        url=str(request.url),
        headers=headers,
        query=query,
        params=parameters,
        body=TypedData(bytes=body) if body else TypedData(),
    )
    return TypedData(http=http)


def wire_response(value: TypedData | None) -> web.Response:
    """The answer for what the function put into its HTTP output; 200 and empty when it left it unset."""
    if value is None or value.kind is None:
        return web.Response(status=200)
    if isinstance(value.value, RpcHttp):
        return _from_rpc(value.value)
    body = _bytes(value)
    kind = {"json": "application/json", "bytes": "application/octet-stream"}.get(value.kind, "text/plain")
    charset = None if value.kind == "bytes" else "utf-8"
    return web.Response(status=200, body=body, content_type=kind, charset=charset)


def _from_rpc(http: RpcHttp) -> web.Response:
    headers = CIMultiDict((name, text) for name, text in http.headers.items() if name.lower() not in _FRAMING)
    for cookie in http.cookies or ():
        headers.add("Set-Cookie", _set_cookie(cookie))
    body = _bytes(http.body) if http.body is not None else b""
    return web.Response(status=int(http.status_code or "200"), headers=headers, body=body)


def _bytes(value: TypedData) -> bytes:
    return value.value if isinstance(value.value, bytes) else str(value.value or "").encode()


def _set_cookie(cookie: RpcHttpCookie) -> str:
    parts = [f"{cookie.name}={cookie.value}"]
    if cookie.expires is not None:
        expires = datetime.fromtimestamp(cookie.expires.value.seconds, UTC)
        parts.append(f"Expires={format_datetime(expires, usegmt=True)}")
    if cookie.max_age is not None:
        parts.append(f"Max-Age={int(cookie.max_age.value)}")
    if cookie.domain is not None and cookie.domain.value:
        parts.append(f"Domain={cookie.domain.value}")
    if cookie.path is not None and cookie.path.value:
        parts.append(f"Path={cookie.path.value}")
    if cookie.secure is not None and cookie.secure.value:
        parts.append("Secure")
    if cookie.http_only is not None and cookie.http_only.value:
        parts.append("HttpOnly")
    if cookie.same_site in _SAME_SITE:
        parts.append(f"SameSite={_SAME_SITE[cookie.same_site]}")
    return "; ".join(parts)
