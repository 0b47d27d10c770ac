"""How a script's run is judged, by the script's own rules. Pure."""

from typing import NamedTuple, Optional, Tuple

from agent.orders import FAIL, IGNORE, ScriptSpec
from agent.records import SCRIPT, ScriptResult, Warning_

FAILED, TIMED_OUT, KILLED, COMPLAINED = "script_failed", "script_timed_out", "script_killed", "script_stderr"

#: Reasons after which a script is run again, as often as its rules say.
TRIED_AGAIN = (FAILED, TIMED_OUT, COMPLAINED)

#: Codes of warnings.
EXIT_CODE, STDERR, MISSING = "exit_code", "stderr", "missing"


class Run(NamedTuple):
    """One run: its exit code (minus a signal's number; None: it cannot be ended), what stderr got."""

    exit_code: Optional[int]
    in_time: bool
    killed: bool
    complaint: str


class Verdict(NamedTuple):
    """The reason why a run failed, "" for a success; and what is worth a warning."""

    reason: str
    warnings: Tuple[Warning_, ...] = ()


def judge(spec: ScriptSpec, run: Run) -> Verdict:
    """Judge a run: time first, then the exit code, then stderr."""
    if not run.in_time:
        return Verdict(TIMED_OUT)
    if run.killed:
        return Verdict(KILLED)
    warnings: Tuple[Warning_, ...] = ()
    if run.exit_code in spec.warning:
        warnings += (_warning(spec, EXIT_CODE, "{}.".format(ending(run.exit_code))),)
    elif run.exit_code not in spec.accepted:
        if not spec.ignore_exit_codes or run.exit_code is None:
            return Verdict(FAILED)
        warnings += (_warning(spec, EXIT_CODE, "{}, which is ignored.".format(ending(run.exit_code))),)
    if run.complaint and spec.stderr != IGNORE:
        if spec.stderr == FAIL:
            return Verdict(COMPLAINED, warnings)
        warnings += (_warning(spec, STDERR, "It wrote to stderr: {}".format(run.complaint.strip())),)
    return Verdict("", warnings)


def missing(spec: ScriptSpec, detail: str) -> Tuple[Warning_, ...]:
    """Warn of a script that is not there, which its rules allow."""
    return (_warning(spec, MISSING, detail),)


def ending(exit_code: Optional[int]) -> str:
    """Say in words how a script ended."""
    if exit_code is None:
        return "It could not be ended"
    if exit_code < 0:
        return "Signal {} ended it".format(-exit_code)
    return "It ended with exit code {}".format(exit_code)


def failure(what: str, result: ScriptResult) -> str:
    """Say in a sentence how ``what`` (the pre-script, say) failed."""
    if not result.started:
        return result.output
    times = " in each of {} runs".format(result.attempts) if result.attempts > 1 else ""
    if result.timed_out:
        return "{} {} timed out{}.".format(what, result.path, times)
    if result.reason == COMPLAINED:
        return "{} {} wrote to stderr{}.".format(what, result.path, times)
    if result.exit_code is not None and result.exit_code >= 0:
        return "{} {} ended with exit code {}{}.".format(what, result.path, result.exit_code, times)
    return "{} {}: {}{}.".format(what, result.path, ending(result.exit_code).lower(), times)


def _warning(spec: ScriptSpec, code: str, detail: str) -> Warning_:
    return Warning_(SCRIPT, spec.label, code, detail)
