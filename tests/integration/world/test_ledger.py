"""The application of the local guests: it can be held, it says the truth about it, and it checks itself."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.guests.books import (
    OPENING_BALANCE,
    Account,
    AccountsFile,
    BooksError,
    JournalFile,
    Transfer,
    recover,
)
from local.guests.gated import Gated
from local.guests.load import Gate, HoldTimeoutError, ReleasedMeanwhileError, Status
from local.guests.receipts import ReceiptsFile
from local.guests.serving import ControlServer

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "local" / "guests" / "scripts"


def ledger(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.guests.ledger", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@dataclass
class Running:
    """A ledger under load, its folders, and its control socket."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> str:
        return str(self.folder / "socket")

    def books(self, folder: Path | None = None) -> list[str]:
        root = folder or self.folder
        return [
            part for name in ("journal", "accounts", "receipts") for part in (f"--{name}", str(root / name))
        ]

    def ask(self, command: str, *more: str) -> dict[str, Any]:
        done = ledger(command, "--socket", self.socket, *more)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


type Serve = Callable[[], Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Running] = []
    for name in ("journal", "accounts", "receipts"):
        (tmp_path / name).mkdir()

    def start() -> Running:
        running = Running(tmp_path, None)  # type: ignore[arg-type]  # set below, its paths are needed first
        command = [sys.executable, "-m", "local.guests.ledger", "serve", *running.books(), "--with-parent"]
        running.process = subprocess.Popen(
            [*command, "--socket", running.socket], cwd=ROOT, stdin=subprocess.PIPE
        )
        started.append(running)
        until(lambda: Path(running.socket).exists())
        return running

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
        assert running.process.stdin
        running.process.stdin.close()


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def script(name: str, socket: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "STILLFRAME_PYTHON": sys.executable}
    command = ["sh", str(SCRIPTS / name), socket]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_nothing_is_written_between_hold_and_release(serve: Serve) -> None:
    running = serve()
    held = running.ask("hold")
    before = {path: path.read_bytes() for path in running.folder.glob("*/*")}
    later = running.ask("status")

    assert held["held"]
    assert later["transfers"] == held["transfers"]
    assert {path: path.read_bytes() for path in running.folder.glob("*/*")} == before
    assert running.ask("release")["transfers"] > held["transfers"]


def test_holding_twice_and_releasing_twice_change_nothing(serve: Serve) -> None:
    running = serve()

    assert [running.ask("hold")["held"], running.ask("hold")["held"]] == [True, True]
    assert [running.ask("release")["held"], running.ask("release")["held"]] == [False, False]


@pytest.mark.parametrize("name", ["pre-application.sh", "post-application.sh"])
def test_the_scripts_fail_when_the_application_is_not_running(tmp_path: Path, name: str) -> None:
    done = script(name, str(tmp_path / "socket"))

    assert done.returncode == 1
    assert "the application is not running" in done.stderr


def test_hold_fails_when_the_application_died_and_left_its_socket(serve: Serve) -> None:
    running = serve()
    running.process.kill()
    running.process.wait()
    assert Path(running.socket).exists()

    assert script("pre-application.sh", running.socket).returncode == 1


def test_hold_fails_when_the_application_does_not_answer(serve: Serve) -> None:
    running = serve()
    running.process.send_signal(signal.SIGSTOP)

    done = ledger("hold", "--socket", running.socket, "--timeout", "0.1")

    assert (done.returncode, "no answer" in done.stderr) == (1, True)


class SlowToHold(Gated):
    """An application whose hold ends when it is told to, and which remembers to have been let go."""

    def __init__(self) -> None:
        self.may_end, self.asked, self.went_on = threading.Event(), threading.Event(), threading.Event()

    def hold(self, timeout_s: float) -> Status:
        self.asked.set()
        self.may_end.wait(timeout_s)
        return Status(transfers=1, held=True, last_write_age_ms=0, longest_stall_ms=0)

    def status(self) -> Status:
        return Status(transfers=1, held=False, last_write_age_ms=0, longest_stall_ms=0)

    def let_go(self) -> None:
        self.went_on.set()


def test_a_hold_whose_asker_has_gone_is_not_kept(tmp_path: Path) -> None:
    application = SlowToHold()
    with ControlServer(tmp_path / "socket", application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(str(tmp_path / "socket"))
            asker.sendall(b'{"command": "hold", "timeout_s": 30}\n')
            assert application.asked.wait(30)
        application.may_end.set()

        assert application.went_on.wait(30)
        server.shutdown()


def test_a_hold_that_is_overtaken_by_a_release_does_not_claim_to_hold() -> None:
    gate, entered, leave = Gate(), threading.Event(), threading.Event()
    failures: list[type[Exception]] = []

    def stay() -> None:
        with gate.passing():
            entered.set()
            leave.wait()

    def close() -> None:
        try:
            gate.close(30)
        except ReleasedMeanwhileError as error:
            failures.append(type(error))

    threads = [threading.Thread(target=stay), threading.Thread(target=close)]
    threads[0].start()
    entered.wait()
    threads[1].start()
    until(lambda: gate.closed)
    gate.open()
    threads[1].join()
    leave.set()
    threads[0].join()

    assert failures == [ReleasedMeanwhileError]


def test_the_scripts_hold_and_release(serve: Serve) -> None:
    running = serve()

    assert script("pre-application.sh", running.socket).returncode == 0
    assert running.ask("status")["held"]
    assert script("post-application.sh", running.socket).returncode == 0
    assert not running.ask("status")["held"]


def test_a_hold_shows_as_a_stall(serve: Serve) -> None:
    running = serve()
    running.ask("hold")
    until(lambda: running.ask("status")["last_write_age_ms"] >= 200)

    assert running.ask("release")["longest_stall_ms"] >= 200


def test_a_killed_application_goes_on_where_it_was_and_its_books_are_whole(serve: Serve) -> None:
    running = serve()
    until(lambda: running.ask("status")["transfers"] > 1000)
    running.process.kill()
    running.process.wait()
    Path(running.socket).unlink()

    checked = ledger("check", *running.books())
    assert checked.returncode == 0, checked.stdout
    again = serve()

    assert again.ask("status")["transfers"] >= json.loads(checked.stdout)["transfers"]


def test_a_journal_older_than_the_accounts_is_a_broken_copy(serve: Serve, tmp_path: Path) -> None:
    running = serve()
    running.ask("hold")
    shutil.copytree(running.folder / "journal", tmp_path / "copy" / "journal")
    running.ask("release")
    running.ask("hold")
    for name in ("accounts", "receipts"):
        shutil.copytree(running.folder / name, tmp_path / "copy" / name)

    checked = ledger("check", *running.books(tmp_path / "copy"))

    assert checked.returncode == 1
    assert json.loads(checked.stdout)["reason"].startswith("accounts ahead of journal")


def test_the_application_ends_with_whoever_started_it(serve: Serve) -> None:
    running = serve()
    assert running.process.stdin
    running.process.stdin.close()

    assert running.process.wait(30) == 0


def test_a_gate_that_somebody_does_not_leave_stays_as_it_was() -> None:
    gate, entered, leave = Gate(), threading.Event(), threading.Event()

    def stay() -> None:
        with gate.passing():
            entered.set()
            leave.wait()

    inside = threading.Thread(target=stay)
    inside.start()
    entered.wait()
    with pytest.raises(HoldTimeoutError):
        gate.close(0.01)
    leave.set()
    inside.join()

    assert not gate.closed
    gate.close(0)
    assert gate.closed


ACCOUNTS = 4
OPENED = (Account(OPENING_BALANCE, 0),) * ACCOUNTS
TRANSFERS = tuple(Transfer(n, n % ACCOUNTS, (n + 1) % ACCOUNTS, 10 * n) for n in range(1, 9))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write_books(folder: Path, *, journalled: int, applied: int, receipt: int = 0, trimmed: int = 0) -> None:
    journal = JournalFile(folder, 0, 0)
    accounts = AccountsFile(folder, OPENED, 0)
    for transfer in TRANSFERS[:trimmed]:
        journal.append(transfer)
    if trimmed:
        journal.trim()
    for transfer in TRANSFERS[trimmed:journalled]:
        journal.append(transfer)
    for transfer in TRANSFERS[:applied]:
        accounts.apply(transfer)
    receipts = ReceiptsFile(folder, 2)
    if receipt:
        receipts.write(1, receipt)


def why(folder: Path) -> str:
    with pytest.raises(BooksError) as broken:
        recover(folder, folder, folder)
    return broken.value.reason


def test_accounts_behind_the_journal_are_replayed_to_its_end(folder: Path) -> None:
    write_books(folder, journalled=8, applied=8, receipt=8)
    expected = recover(folder, folder, folder)
    write_books(folder, journalled=8, applied=3, receipt=5)

    assert recover(folder, folder, folder) == expected


def test_accounts_ahead_of_the_journal_are_broken(folder: Path) -> None:
    write_books(folder, journalled=5, applied=7)

    assert why(folder) == "accounts ahead of journal: transfer 7 is applied, the journal ends at 5"


def test_accounts_older_than_the_trimmed_journal_are_broken(folder: Path) -> None:
    write_books(folder, journalled=8, applied=2, trimmed=4)

    assert why(folder) == "journal trimmed: it begins after transfer 4, the accounts contain 0"


def test_an_acknowledged_transfer_that_is_missing_is_broken(folder: Path) -> None:
    write_books(folder, journalled=5, applied=5, receipt=6)

    assert why(folder) == "transfer 6 was acknowledged, the journal ends at 5"


def test_a_torn_last_entry_was_never_acknowledged_and_is_dropped(folder: Path) -> None:
    write_books(folder, journalled=5, applied=4)
    journal = folder / JournalFile.NAME
    journal.write_bytes(journal.read_bytes()[:-3])

    assert recover(folder, folder, folder).last == 4


def test_a_journal_damaged_in_the_middle_is_broken(folder: Path) -> None:
    write_books(folder, journalled=8, applied=2)
    journal = folder / JournalFile.NAME
    data = bytearray(journal.read_bytes())
    data[16 + 28 * 3 + 20] ^= 1
    journal.write_bytes(data)

    assert why(folder) == "the journal is damaged after transfer 3"


@pytest.mark.parametrize(
    ("name", "reason"), [(JournalFile.NAME, "journal"), (AccountsFile.NAME, "accounts file")]
)
def test_a_missing_file_is_broken(folder: Path, name: str, reason: str) -> None:
    write_books(folder, journalled=8, applied=8)
    (folder / name).unlink()

    assert why(folder) == f"the {reason} cannot be read: No such file or directory"


def test_half_a_transfer_in_the_accounts_makes_the_total_wrong(folder: Path) -> None:
    write_books(folder, journalled=5, applied=5, trimmed=5)
    accounts = [
        Account(OPENING_BALANCE, 5) if number == 0 else Account(OPENING_BALANCE - 10, 5)
        for number in range(ACCOUNTS)
    ]
    AccountsFile(folder, tuple(accounts), 5)

    assert why(folder) == "the total is 3970 instead of 4000"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_to_one_byte_of_the_accounts_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("books")
    write_books(folder, journalled=8, applied=8)
    accounts = folder / AccountsFile.NAME
    content = bytearray(accounts.read_bytes())
    used = [at for number in range(ACCOUNTS + 1) for at in range(32 * number, 32 * number + 20)]
    content[data.draw(st.sampled_from(used))] ^= data.draw(st.integers(1, 255))
    accounts.write_bytes(content)

    with pytest.raises(BooksError):
        recover(folder, folder, folder)
