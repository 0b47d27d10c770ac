"""The rules that a script brings: exit codes, stderr, retries, missing scripts; each really run."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import scripts
from agent.linux import Linux
from agent.orders import ScriptSpec
from agent.output import KEPT
from agent.records import ScriptResult, Warning_
from agent.staging import Prepared
from agent.system import Clock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the Linux side of the agent")

CLOCK = Clock(lambda: int(time.monotonic() * 1000), lambda: int(time.time() * 1000))
#: By its name processes are found and killed: those of a test that runs beside this one have another.
SAGA = f"rules-{os.getpid()}"
SYSTEM = Linux()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def script(folder: Path, *lines: str, **rules: Any) -> ScriptSpec:
    path = folder / "script"
    path.write_text("\n".join(["#!/bin/sh", f"echo run >> {folder}/runs", *lines, ""]))
    path.chmod(0o755)
    return ScriptSpec(str(path), (), 20_000)._replace(**rules)


def execution_of(spec: ScriptSpec) -> scripts.Execution:
    return scripts.Execution(SYSTEM, CLOCK, Prepared(spec, spec.path), scripts.marks(SAGA, 1, "pre"))


def run(spec: ScriptSpec, total_ms: int = 60_000) -> ScriptResult:
    return execution_of(spec).run(dict(os.environ), total_ms, starting=lambda: None)


def runs(folder: Path) -> int:
    return (folder / "runs").read_text().count("run") if (folder / "runs").exists() else 0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def codes(result: ScriptResult) -> list[str]:
    return [warning.code for warning in result.warnings]


@pytest.mark.parametrize(
    ("code", "rules", "reason", "warned"),
    [
        (0, {}, "", []),
        (3, {}, "script_failed", []),
        (3, {"accepted": (0, 3)}, "", []),
        (0, {"accepted": (3,)}, "script_failed", []),
        (4, {"warning": (4,)}, "", ["exit_code"]),
        (5, {"warning": (4,)}, "script_failed", []),
        (5, {"ignore_exit_codes": True}, "", ["exit_code"]),
    ],
)
def test_the_exit_code_is_judged_by_the_scripts_rules(
    folder: Path, code: int, rules: dict[str, Any], reason: str, warned: list[str]
) -> None:
    result = run(script(folder, f"exit {code}", **rules))

    assert (result.exit_code, result.reason, codes(result)) == (code, reason, warned)


def test_a_warning_names_the_script_and_says_what_happened(folder: Path) -> None:
    spec = script(folder, "exit 4", warning=(4,))

    assert run(spec).warnings == (Warning_("script", spec.path, "exit_code", "It ended with exit code 4."),)


def test_a_script_that_a_signal_ends_has_failed(folder: Path) -> None:
    result = run(script(folder, "kill -s SEGV $$"))

    assert (result.exit_code, result.reason) == (-11, "script_failed")


@pytest.mark.parametrize(
    ("stderr", "reason", "warned"),
    [("ignore", "", []), ("warn", "", ["stderr"]), ("fail", "script_stderr", [])],
)
def test_stderr_is_ignored_warned_of_or_a_failure(
    folder: Path, stderr: str, reason: str, warned: list[str]
) -> None:
    result = run(script(folder, "echo fine", "echo trouble >&2", stderr=stderr))

    assert (result.reason, codes(result)) == (reason, warned)
    assert sorted(result.output.split()) == ["fine", "trouble"]
    assert all("trouble" in warning.detail for warning in result.warnings)


@pytest.mark.parametrize("stderr", ["warn", "fail"])
def test_a_script_that_leaves_stderr_alone_is_fine_by_every_rule(folder: Path, stderr: str) -> None:
    result = run(script(folder, "echo fine", stderr=stderr))

    assert (result.reason, codes(result), result.output) == ("", [], "fine\n")


def test_both_pipes_are_drained_when_stderr_has_its_own(folder: Path) -> None:
    flood = "head -c 2000000 /dev/zero | tr '\\0' e >&2; head -c 2000000 /dev/zero | tr '\\0' o"
    result = run(script(folder, flood, stderr="warn"))

    assert (result.exit_code, codes(result)) == (0, ["stderr"])
    assert len(result.output) < 2 * KEPT + 100


def test_a_script_that_prints_200_kilobytes_and_ends_well_has_ended_well(folder: Path) -> None:
    result = run(script(folder, "head -c 200000 /dev/zero | tr '\\0' x"))

    assert (result.exit_code, result.reason, result.timed_out) == (0, "", False)


def test_50_megabytes_of_output_stop_nothing_and_are_kept_in_bounds(folder: Path) -> None:
    result = run(script(folder, "head -c 50000000 /dev/zero | tr '\\0' y", "echo end"))

    assert (result.exit_code, result.output.endswith("end\n")) == (0, True)
    assert len(result.output) < 2 * KEPT + 100


def test_a_script_that_closes_its_output_is_waited_for(folder: Path) -> None:
    result = run(script(folder, "exec >&- 2>&-", f"sleep 0.3; touch {folder}/end; exit 3"))

    assert (result.exit_code, result.output) == (3, "")
    assert (folder / "end").exists()


def test_binary_output_becomes_a_text(folder: Path) -> None:
    result = run(script(folder, "printf '\\377\\000\\200a'"))

    assert result.output == "\ufffd\x00\ufffda"


def test_a_script_that_fails_is_really_run_again_until_it_ends_well(folder: Path) -> None:
    spec = script(folder, f"[ $(wc -l < {folder}/runs) -ge 3 ] || exit 1", retries=5)

    result = run(spec)

    assert (result.exit_code, result.reason, result.attempts, runs(folder)) == (0, "", 3, 3)


def test_a_script_that_always_fails_is_run_once_and_as_often_again_as_its_rules_say(folder: Path) -> None:
    result = run(script(folder, "exit 7", retries=2))

    assert (result.exit_code, result.reason, result.attempts, runs(folder)) == (7, "script_failed", 3, 3)


def test_a_script_that_timed_out_is_run_again(folder: Path) -> None:
    again = f"[ $(wc -l < {folder}/runs) -ge 2 ] || sleep 600"
    result = run(script(folder, again, retries=1, timeout_ms=1_500))

    assert (result.exit_code, result.attempts, runs(folder)) == (0, 2, 2)


def test_stderr_that_counts_as_a_failure_is_a_cause_to_run_again(folder: Path) -> None:
    again = f"[ $(wc -l < {folder}/runs) -ge 2 ] || echo trouble >&2"
    result = run(script(folder, again, retries=1, stderr="fail"))

    assert (result.reason, result.attempts) == ("", 2)


def test_what_a_failed_run_left_is_dead_before_the_next_begins(folder: Path) -> None:
    left = f"setsid sh -c 'echo $$ >> {folder}/left; exec sleep 600' & until [ -s {folder}/left ]; do :; done"
    alive = f"grep -qa STILLFRAME /proc/$p/environ 2>/dev/null && touch {folder}/alive"
    check = f"for p in $(cat {folder}/left 2>/dev/null); do {alive}; done"
    result = run(script(folder, check, left, "exit 1", retries=2))

    assert result.attempts == 3
    assert not (folder / "alive").exists()
    for pid in (folder / "left").read_text().split()[-1:]:
        os.kill(int(pid), 9)  # what the last run left is left alone, as a daemon would be


def test_retries_stop_when_the_time_is_up(folder: Path) -> None:
    result = run(script(folder, "exit 1", retries=10, retry_delay_ms=400), total_ms=1_000)

    assert result.reason == "script_failed"
    assert 1 <= runs(folder) < 5


def test_a_run_gets_no_more_time_than_there_is_left(folder: Path) -> None:
    result = run(script(folder, "sleep 600", retries=3), total_ms=300)

    assert (result.reason, result.timed_out, runs(folder)) == ("script_timed_out", True, 1)


def test_the_wait_for_the_next_run_can_be_called_off(folder: Path) -> None:
    execution = execution_of(script(folder, "exit 1", retries=1, retry_delay_ms=600_000))
    results: list[ScriptResult] = []

    def work() -> None:
        results.append(execution.run(dict(os.environ), 1_200_000, starting=lambda: None))

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: runs(folder) == 1, "it did not run")

    execution.kill()
    thread.join(30)

    # The call may come just before the first run is judged: then that has been killed.
    assert [(r.attempts, r.reason in ("script_failed", "script_killed")) for r in results] == [(1, True)]
    assert runs(folder) == 1


def test_a_script_that_is_refused_is_not_tried_again(folder: Path) -> None:
    spec = script(folder, retries=3)
    Path(spec.path).chmod(0o777)

    result = run(spec)

    assert (result.reason, result.started, result.attempts) == ("script_unsafe", False, 1)


def test_its_environment_reaches_the_script_and_cannot_hide_whose_it_is(folder: Path) -> None:
    spec = script(folder, 'echo "$COLOUR $STILLFRAME_SAGA"')
    spec = spec._replace(environment=(("COLOUR", "deep blue"), ("STILLFRAME_SAGA", "another")))

    assert run(spec).output == f"deep blue {SAGA}\n"


def test_a_missing_script_that_may_be_missing_is_a_warning() -> None:
    spec = ScriptSpec("/none", (), 1_000, ignore_missing=True)
    prepared = Prepared(spec, "", missing="/none: No such file.")

    result = scripts.Execution(SYSTEM, CLOCK, prepared, {}).run({}, 1_000, starting=lambda: None)

    assert (result.started, result.reason, codes(result)) == (False, "", ["missing"])
