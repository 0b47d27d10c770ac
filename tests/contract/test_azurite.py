"""Azurite as a child process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import azurite as module
from local.azurite import AzuriteUnavailableError, running
from shared.storage.connection import read_connection
from shared.storage.errors import SagaNotFound
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables
from tests.contract.support import saga_state

pytestmark = [pytest.mark.azurite, pytest.mark.usefixtures("azurite")]


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def write_and_read(connection_string: str, *, write: bool) -> None:
    tables = Tables(read_connection("S", {"S": connection_string}))
    sagas = SagaTable(tables)
    try:
        if write:
            await sagas.create(saga_state("kept"), cause="start", outbox=[], history=[])
        assert (await sagas.load("kept")).state == saga_state("kept")
    finally:
        await tables.close()


def test_two_of_them_run_side_by_side_and_listen_no_more_when_they_end() -> None:
    with running() as first, running() as second:
        ports = [p for one in (first, second) for p in (one.blob_port, one.queue_port, one.table_port)]
        assert len(set(ports)) == 6
        assert all(listening(port) for port in ports)

    assert not any(listening(port) for port in ports)


def test_a_folder_keeps_what_was_written_over_a_stop(tmp_path: Path) -> None:
    with running(tmp_path) as azurite:
        asyncio.run(write_and_read(azurite.connection_string, write=True))
    with running(tmp_path) as azurite:
        asyncio.run(write_and_read(azurite.connection_string, write=False))


def test_a_killed_one_forgets_what_it_had_in_memory() -> None:
    with running() as azurite:
        asyncio.run(write_and_read(azurite.connection_string, write=True))
        azurite.kill()
        assert not listening(azurite.table_port)
    with running() as azurite, pytest.raises(SagaNotFound):
        asyncio.run(write_and_read(azurite.connection_string, write=False))


def test_a_port_may_be_chosen_and_a_taken_one_is_reported_in_one_line() -> None:
    with (
        running() as first,
        pytest.raises(AzuriteUnavailableError) as raised,
        running(queue=first.queue_port),
    ):
        pass

    assert "\n" not in str(raised.value)


def test_a_missing_package_is_reported_in_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_EXECUTABLE", tmp_path / "node_modules" / ".bin" / "azurite")

    with pytest.raises(AzuriteUnavailableError) as raised, running():
        pass

    assert str(raised.value) == f"Azurite is not installed: run `npm ci` in {tmp_path}"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
def test_it_dies_with_its_parent() -> None:
    code = (
        "import signal\nfrom local.azurite import running\n"
        "with running() as a:\n    print(a.queue_port, flush=True)\n    signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    assert listening(port)

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 10
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not listening(port)
