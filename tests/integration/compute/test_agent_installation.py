"""What the run command installs in a guest, from a server that may be hostile."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.compute.agent_package import PACKAGE_SHA256, PACKAGE_UPGRADE, PACKAGE_URL
from shared.compute.agent_start import BOOTSTRAP, LINUX_SCRIPT

#: Stands for an agent: its installer copies it to where the script looks.
AGENT = """import os, sys
verb = sys.argv[1]
if verb == "--version": print("{version}")
if verb == "installer": print('cp "$2" "$STILLFRAME_AGENT"; env > "$STILLFRAME_AGENT.env"')
if verb == "run": print("running {version}", sorted(n for n in os.environ if "PACKAGE" in n))
"""


class Server:
    def __init__(self) -> None:
        self.content = b""
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_arguments: object) -> None:
                return

            def do_GET(self) -> None:
                server.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/agent.pyz?sig=secret"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.close()


def package(server: Server, version: str) -> bytes:
    server.content = AGENT.format(version=version).encode()
    return server.content


def run(
    folder: Path, server: Server, pinned: bytes, *, upgrade: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "STILLFRAME_AGENT": str(folder / "agent.pyz"),
        BOOTSTRAP: "the key",
        PACKAGE_URL: server.url,
        PACKAGE_SHA256: hashlib.sha256(pinned).hexdigest(),
    }
    if upgrade:
        environment[PACKAGE_UPGRADE] = "1"
    return subprocess.run(
        ["/bin/sh", "-c", LINUX_SCRIPT], env=environment, capture_output=True, text=True, check=False
    )


def test_a_missing_agent_is_installed_and_run_without_enrolling_it(server: Server, tmp_path: Path) -> None:
    ended = run(tmp_path, server, package(server, "0.1.0"))

    assert (ended.returncode, ended.stdout) == (0, "running 0.1.0 []\n")
    assert "the key" not in (tmp_path / "agent.pyz.env").read_text()


def test_what_has_another_hash_is_not_installed_and_the_url_is_not_told(
    server: Server, tmp_path: Path
) -> None:
    good = package(server, "0.1.0")
    server.content = good + b"\n"

    ended = run(tmp_path, server, good)

    assert ended.returncode == 3
    assert "pinned" in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout
    assert not (tmp_path / "agent.pyz").exists()


def test_a_server_that_does_not_answer_leaves_the_agent_that_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(package(server, "0.0.9"))
    newer = package(server, "0.1.0")
    server.close()

    ended = run(tmp_path, server, newer, upgrade=True)

    assert (ended.returncode, ended.stdout) == (0, "running 0.0.9 []\n")
    assert "not installed" in ended.stderr
    assert "secret" not in ended.stderr


def test_an_older_agent_is_replaced_only_where_upgrades_are_allowed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(package(server, "0.0.9"))
    newer = package(server, "0.0.10")

    assert run(tmp_path, server, newer).stdout == "running 0.0.9 []\n"
    assert server.asked == 0
    assert run(tmp_path, server, newer, upgrade=True).stdout == "running 0.0.10 []\n"


def test_a_newer_agent_is_never_replaced_by_an_older(server: Server, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(package(server, "0.2.0"))

    ended = run(tmp_path, server, package(server, "0.1.9"), upgrade=True)

    assert ended.stdout == "running 0.2.0 []\n"


def test_the_agent_that_is_pinned_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    current = package(server, "0.1.0")
    (tmp_path / "agent.pyz").write_bytes(current)

    run(tmp_path, server, current, upgrade=True)

    assert server.asked == 0
