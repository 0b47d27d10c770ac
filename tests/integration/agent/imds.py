"""Azure's instance metadata service, as far as it gives tokens, with what it does wrong at times."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class ImdsStub:
    """Gives tokens `token-1`, `token-2`, ... on a free port of the loopback."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.failures: list[int] = []  # statuses of the next answers
        self.document: bytes | None = None  # instead of a token
        self.lasts_s = 3600
        self.location = ""
        self.seen: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    stub: ImdsStub

    def log_message(self, *_arguments: object) -> None:
        return

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.stub.seen[parts.path] += 1
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.headers.get("Metadata") != "true" or parts.path != "/metadata/identity/oauth2/token":
            self._answer(400, b"{}")
            return
        self.stub.asked.append(query)
        if self.stub.failures:
            self._answer(self.stub.failures.pop(0), b'{"error": "later"}')
            return
        token = {
            "access_token": f"token-{len(self.stub.asked)}",
            "expires_in": str(self.stub.lasts_s),
            "token_type": "Bearer",
        }
        self._answer(200, self.stub.document or json.dumps(token).encode())

    def _answer(self, status: int, document: bytes) -> None:
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.stub.location)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)
