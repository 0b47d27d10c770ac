"""The app's deployment package: what is in it, and that the host starts from it alone."""

import asyncio
import json
import os
import re
import signal
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.azurite import AzuriteProcess
from local.package import app

ROOT = Path(__file__).resolve().parents[3]
LISTENING = re.compile(rb"Host started on (http://127\.0\.0\.1:\d+)")


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    archive = app.write(tmp_path / "app.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "app")
    return tmp_path / "app"


def test_its_requirements_are_all_that_the_app_imports(unpacked: Path) -> None:
    """Each top-level module that the package imports is its own, the standard library's, or required."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    required = {re.split(r"[=<>\[ ]", each)[0] for each in declared}
    locked = (unpacked / "requirements.txt").read_text()
    assert {name for name in required if f"{name}==" not in locked} == set()
    imported: set[str] = set()
    for source in unpacked.rglob("*.py"):
        found = re.findall(r"^\s*(?:from|import) ([\w.]+)", source.read_text(), re.MULTILINE)
        imported |= {name.split(".")[0] for name in found}
    others = imported - set(sys.stdlib_module_names) - {"shared", "function_app", "azure"}
    assert others <= {name.replace("-", "_").replace("pyyaml", "yaml") for name in required} | {
        "opentelemetry"
    }, others


@pytest.fixture
async def started(unpacked: Path, azurite: AzuriteProcess, tmp_path: Path) -> AsyncIterator[str]:
    host = tmp_path / "host"
    host.mkdir()
    (host / "local").symlink_to(ROOT / "local")  # the host, and nothing of the repository's app
    example = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    storage = {"AzureWebJobsStorage": azurite.connection_string, "GuestStorage": azurite.connection_string}
    environ = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **example,
        **storage,
        "STILLFRAME_MASTER_KEY": "00" * 32,
        "STILLFRAME_ARM_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": str(host),
    }
    command = ("-P", "-m", "local.functions_host", "host", "start", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=unpacked,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**20,
    )
    assert process.stdout is not None
    said = b""
    while not (match := LISTENING.search(said)):
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, said.decode()
        said += line
    reading = asyncio.create_task(process.stdout.read())
    yield match[1].decode()
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    await reading


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.azurite
async def test_the_host_starts_from_the_package_alone(started: str) -> None:

    status, document = await asyncio.to_thread(answer, f"{started}/api/openapi.json")
    page, _ = await asyncio.to_thread(answer, f"{started}/api/ui")
    health, report = await asyncio.to_thread(answer, f"{started}/api/health")

    assert (status, page) == (200, 200)
    assert "/runs" in "".join(json.loads(document)["paths"])
    assert health == 503  # there is no Azure Resource Manager here, and that is all that is wrong
    assert [
        name for name in ("tables", "queues", "guest_queues") if not json.loads(report)["storage"][name]["ok"]
    ] == []


@pytest.mark.azurite
async def test_the_smoke_test_says_what_is_not_well_with_it(started: str, tmp_path: Path) -> None:
    command_line = tmp_path / "stillframe"
    command_line.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m cli "$@"\n')
    command_line.chmod(0o755)
    environ = {
        **os.environ,
        "STILLFRAME_CLI": str(command_line),
        "STILLFRAME_URL": started,
        "STILLFRAME_KEY": "any",
        "STILLFRAME_PATIENCE_S": "0",
    }

    process = await asyncio.create_subprocess_exec(
        "sh", str(ROOT / "infra/smoke.sh"), env=environ, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 3
    assert "Azure Resource Manager" in told.decode()
