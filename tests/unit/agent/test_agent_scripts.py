"""Scripts, really run: time-outs, process trees, output, refusals, and the post-script's claims."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import output, processes, scripts
from agent.hooks import Hooks
from agent.journal import Journal
from agent.linux import Linux
from agent.orders import Quiesce, ScriptSpec
from agent.records import ScriptResult
from agent.staging import Prepared, Staging
from agent.system import Clock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the Linux side of the agent")

CLOCK = Clock(lambda: int(time.monotonic() * 1000), lambda: int(time.time() * 1000))
#: By its name processes are found and killed: those of a test that runs beside this one have another.
SAGA = f"saga-{os.getpid()}"
SYSTEM = Linux()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def write(folder: Path, text: str, name: str = "script", mode: int = 0o755) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def run(path: str, *arguments: str, timeout_ms: int = 20_000, saga: str = SAGA) -> ScriptResult:
    return run_spec(ScriptSpec(path, arguments, timeout_ms), saga=saga)


def run_spec(spec: ScriptSpec, *, total_ms: int = 60_000, saga: str = SAGA) -> ScriptResult:
    return execution_of(spec, saga).run(dict(os.environ), total_ms, starting=lambda: None)


def execution_of(spec: ScriptSpec, saga: str = SAGA) -> scripts.Execution:
    return scripts.Execution(SYSTEM, CLOCK, Prepared(spec, spec.path), scripts.marks(saga, 1, "pre"))


def until(condition: Callable[[], bool], what: str, patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def marked(saga: str) -> list[int]:
    """Find living processes of the saga's pre-script."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and f"STILLFRAME_SAGA={saga}".encode() in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if processes.identity(pid)]


def test_a_script_gets_its_arguments_and_the_variables_of_its_saga(folder: Path) -> None:
    path = write(
        folder, '#!/bin/sh\necho "$1|$2|$STILLFRAME_SAGA|$STILLFRAME_GENERATION|$STILLFRAME_PHASE"\n'
    )

    result = run(path, "a b", "$HOME")

    assert result.output == f"a b|$HOME|{SAGA}|1|pre\n"
    assert (result.exit_code, result.reason, result.timed_out) == (0, "", False)


def test_stdout_and_stderr_are_kept_in_their_order(folder: Path) -> None:
    result = run(write(folder, "#!/bin/sh\necho one\necho two >&2\necho three\nexit 7\n"))

    assert (result.output, result.exit_code, result.reason) == ("one\ntwo\nthree\n", 7, "script_failed")


def test_a_flood_of_output_is_read_to_its_end_and_kept_in_bounds(folder: Path) -> None:
    path = write(folder, "#!/bin/sh\necho head\nhead -c 1048576 /dev/zero | tr '\\0' x\necho tail\n")

    result = run(path)

    assert result.exit_code == 0
    assert result.output.startswith("head\nxxx")
    assert result.output.endswith("xxxtail\n")
    assert "bytes left out" in result.output
    assert len(result.output) < 2 * output.KEPT + 100


def test_a_hanging_script_is_killed_at_its_time_out(folder: Path) -> None:
    result = run(write(folder, "#!/bin/sh\necho here\nsleep 600\n"), timeout_ms=200)

    assert result.timed_out
    assert (result.reason, result.exit_code, result.output) == ("script_timed_out", -9, "here\n")


def test_a_script_that_ignores_sigterm_is_killed_too(folder: Path) -> None:
    result = run(
        write(folder, "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 600; done\n"), timeout_ms=200
    )

    assert result.exit_code == -9
    until(lambda: not marked(SAGA), "its children live on")


@pytest.mark.parametrize(
    "away",
    [
        "sleep 600 &",
        "setsid sleep 600 &",
        "(setsid sh -c 'sleep 600 & sleep 600' &) &",
        "(cd / && exec setsid nohup sh -c 'exec sleep 600' >/dev/null 2>&1 </dev/null &)",
    ],
    ids=["child", "own session", "forked twice", "daemon"],
)
def test_the_time_out_kills_the_whole_tree(folder: Path, away: str) -> None:
    path = write(folder, f'#!/bin/sh\n{away}\necho "$$" > {folder}/pid\nsleep 600\n')
    saga = f"tree-{os.urandom(4).hex()}"

    result = run(path, timeout_ms=500, saga=saga)

    assert (folder / "pid").exists()
    assert result.timed_out
    assert marked(saga) == []


def test_a_child_that_wiped_its_environment_is_found_by_its_parents(folder: Path) -> None:
    path = write(
        folder, f"#!/bin/sh\nenv -i setsid sh -c 'echo $$ > {folder}/child; exec sleep 600' &\nsleep 600\n"
    )
    thread = threading.Thread(target=run, args=(path,), kwargs={"timeout_ms": 1_000})
    thread.start()
    until(lambda: (folder / "child").exists() and bool((folder / "child").read_text()), "no child")
    child = int((folder / "child").read_text())

    thread.join()

    until(lambda: not processes.identity(child), "the child lives on")


def test_a_daemon_that_keeps_the_pipe_does_not_hold_up_its_script(folder: Path) -> None:
    path = write(folder, "#!/bin/sh\nsetsid sleep 600 &\necho started\n")
    saga = f"daemon-{os.urandom(4).hex()}"

    result = run(path, saga=saga)

    assert (result.exit_code, result.output) == (0, "started\n")
    assert len(marked(saga)) == 1, "a daemon that a good script left is left alone"
    assert SYSTEM.kill_tree(None, scripts.marks(saga, 1, "pre"))


def test_a_script_can_be_called_off_while_it_runs(folder: Path) -> None:
    path = write(folder, f"#!/bin/sh\ntouch {folder}/runs\nsleep 600\n")
    execution = execution_of(ScriptSpec(path, (), 60_000), "off")
    results: list[ScriptResult] = []
    thread = threading.Thread(
        target=lambda: results.append(execution.run(dict(os.environ), 60_000, starting=lambda: None))
    )
    thread.start()
    until((folder / "runs").exists, "it did not start")

    execution.kill()
    thread.join()

    assert (results[0].reason, results[0].started) == ("script_killed", True)


def test_a_script_that_was_called_off_before_is_not_started(folder: Path) -> None:
    path = write(folder, f"#!/bin/sh\ntouch {folder}/ran\n")
    execution = execution_of(ScriptSpec(path, (), 1_000))
    execution.kill()

    assert not execution.run({}, 1_000, starting=lambda: None).started
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("absent", 0, "script_missing"),
        ("plain", 0o644, "script_not_executable"),
        ("world", 0o757, "script_unsafe"),
        ("binary", 0o755, "script_not_executable"),
    ],
)
def test_a_script_that_must_not_run_is_refused_with_a_reason(
    folder: Path, name: str, mode: int, reason: str
) -> None:
    if mode:
        write(folder, "\x00not a program" if name == "binary" else "#!/bin/sh\n", name, mode)

    result = run(str(folder / name))

    assert (result.reason, result.exit_code) == (reason, None)


def test_a_script_in_a_folder_where_everybody_may_replace_it_is_refused(folder: Path) -> None:
    path = write(folder, "#!/bin/sh\n")
    folder.chmod(0o777)

    assert run(path).reason == "script_unsafe"


def test_a_script_below_a_folder_where_everybody_may_replace_that_is_refused(folder: Path) -> None:
    (folder / "open" / "inner").mkdir(parents=True)
    path = write(folder / "open" / "inner", "#!/bin/sh\n")
    (folder / "open").chmod(0o777)

    assert run(path).reason == "script_unsafe"


def test_a_plain_sh_file_is_run_by_the_shell(folder: Path) -> None:
    assert run(write(folder, "echo plain\n", "hook.sh", 0o644)).output == "plain\n"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "state"))


def hooks(journal: Journal, spec: ScriptSpec | None = None) -> Hooks:
    """Give the hooks of a generation, with its post-script staged as before the first freeze."""
    if spec is not None:
        environ = allowing(Path(journal.path).parent)
        stage = Staging(journal, SYSTEM, CLOCK, environ, lambda: False)
        stage.stage(SAGA, 1, Quiesce(10_000, 20_000, None, spec, "none"))
    return Hooks(journal, SYSTEM, CLOCK, SAGA, 1)


def allowing(folder: Path) -> dict[str, str]:
    """Give an environment whose guest allows the scripts of a folder."""
    config = folder / "agent.conf"
    config.write_text(f"[scripts]\nfolders = {folder}\n")
    config.chmod(0o600)
    return {"STILLFRAME_CONFIG": str(config)}


def test_the_post_script_runs_once_however_many_want_to_run_it(folder: Path, journal: Journal) -> None:
    path = write(folder, f"#!/bin/sh\necho ran >> {folder}/runs\nsleep 0.2\n")
    results: list[ScriptResult] = []
    spec = ScriptSpec(path, (), 5_000)
    hooks(journal, spec)

    def one() -> None:
        results.append(hooks(journal).run_post(spec, dict(os.environ)))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (folder / "runs").read_text() == "ran\n"
    assert len(results) == 8
    assert len(set(results)) == 1


def test_a_post_script_whose_owner_died_is_taken_over_after_its_remains_were_killed(
    folder: Path, journal: Journal
) -> None:
    path = write(folder, f"#!/bin/sh\necho $$ >> {folder}/runs\n[ -f {folder}/quick ] || exec sleep 600\n")
    spec = ScriptSpec(path, (), 60_000)
    hooks(journal, spec)
    owner = os.fork()
    if owner == 0:
        os.setsid()
        hooks(journal).run_post(spec, dict(os.environ))
        os._exit(0)
    until(lambda: (folder / "runs").exists() and (folder / "runs").read_text().count("\n") == 1, "no run")
    first = int((folder / "runs").read_text())
    os.kill(owner, 9)
    os.waitpid(owner, 0)
    (folder / "quick").touch()

    result = hooks(journal).run_post(spec, dict(os.environ))

    assert result.exit_code == 0
    assert (folder / "runs").read_text().count("\n") == 2
    assert not processes.identity(first)


def test_a_claim_is_not_mistaken_for_a_later_process_of_the_same_pid(folder: Path, journal: Journal) -> None:
    digest = hooks(journal)._name
    Path(journal.file(f"post-{digest}.1")).write_text(f"{os.getpid()}:1")

    spec = ScriptSpec(write(folder, "#!/bin/sh\n"), (), 5_000)
    result = hooks(journal, spec).run_post(spec, {})

    assert result.exit_code == 0


def test_a_killed_shell_does_not_go_on_to_its_next_command(folder: Path) -> None:
    lines = "\n".join(f"sleep 600\ntouch {folder}/went-on" for _ in range(20))

    result = run(write(folder, f"#!/bin/sh\n{lines}\n"), timeout_ms=200)

    assert result.timed_out
    assert not (folder / "went-on").exists()
