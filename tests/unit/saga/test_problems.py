"""What people are told of a saga that did not end well: what happened, where, and what to do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from agent import verdicts
from shared.compute.errors import ComputeError
from shared.policy.guest_processing import ApplicationAware, GuestProcessing, OnGuestFailure, Script
from shared.saga.advice import TOLD
from shared.saga.advice_by_code import (
    ADMISSION,
    AZURE,
    CAPTURE,
    COPY,
    GUEST,
    LACKING,
    POST_SCRIPT,
    PROOF,
    RELEASER,
    WARNING,
)
from shared.saga.causes import Cause, Lacking, Limit, Proof
from shared.saga.copying import ABANDONED, FAILED, LATE
from shared.saga.events import (
    AgentNotStarted,
    CancelRequested,
    Cleaned,
    CopiesSeen,
    FactsRead,
    FactsUnavailable,
    MustWait,
    Poisoned,
    Resumed,
    Started,
    TimePassed,
)
from shared.saga.evidence import GuestWarning, Held, NotHeld
from shared.saga.facts import LeftOut
from shared.saga.phases import CLEANING_TIMEOUT_MS
from shared.saga.problems import LONGEST_SENTENCE, Problem, duration, problem_of
from shared.saga.state import Outcome, Phase, SagaState, SnapshotCopy, Trouble
from tests.unit.saga.advice_page import PAGE, with_tables
from tests.unit.saga.build import (
    DISKS,
    POST,
    SCRIPTS,
    T0,
    Saga,
    admitting,
    arming,
    captured,
    capturing,
    completing,
    copying,
    facts,
    guest,
    quiesce_failed,
    quiesce_report,
    quiesced,
    quiescing,
    ready,
    resume_report,
    resumed,
    resuming,
    script_report,
    snapshot_of,
)
from tests.unit.saga.codes import RELEASERS, errors_of_captures, failures_of_the_agent, warnings_of_the_agent

ONCE = guest(attempts=1)
LENIENT = guest(attempts=1, on_guest_failure=OnGuestFailure.CONTINUE)
OLD_AGENT = replace(ready(), agent_version="0.0.9")
DENIED = ("AuthorizationFailed", "The client has no right to read it")


def copied(saga: Saga) -> Saga:
    """Have the background copies end, and the saga clean up."""
    copies = tuple(SnapshotCopy(snapshot_of(item, saga.state.generation), 100.0) for item in DISKS)
    return saga.take(CopiesSeen(copies), Cleaned())


def begun(processing: GuestProcessing = SCRIPTS) -> Saga:
    return Saga(processing).take(Started())


def late(saga: Saga) -> Saga:
    return saga.wait_out().take(TimePassed())


def too_slow_to_hold() -> Saga:
    saga = quiescing(ONCE)
    return saga.take(quiesced(at=saga.now, report=quiesce_report(budget_left_ms=1_000)), resumed())


def without_dead_man() -> Saga:
    saga = quiescing(ONCE)
    return saga.take(quiesced(at=saga.now, report=quiesce_report(dead_man_armed=False)), resumed())


def less_held() -> Saga:
    saga = quiescing(LENIENT)
    report = quiesce_report(not_held=(NotHeld("filesystem", "/data", "skipped"),))
    return copied(saga.take(quiesced(at=saga.now, report=report)).take(captured(at=saga.now), resumed()))


REQUIRED = replace(
    guest(scripts=False, attempts=1), application_aware=ApplicationAware.REQUIRE, detect_handlers=True
)


def required_held(held: tuple[Held, ...], *not_held: NotHeld) -> Saga:
    """Have a guest hold this to the end although an application-consistent recovery point is required."""
    saga = quiescing(REQUIRED)
    saga.take(quiesced(at=saga.now, report=quiesce_report(scripts=False, held=held, not_held=not_held)))
    return saga.take(captured(at=saga.now), Resumed(1, 3, resume_report(scripts=False, held=held)))


def unseen() -> Saga:
    saga = capturing(ONCE).wait_out()
    return saga.take(TimePassed(), resumed())


def warned() -> Saga:
    warning = GuestWarning("handler", "postgresql:5432", "probe_failed", "No answer within 5000 ms.")
    return copied(resuming().take(resumed(warnings=(warning,))))


def left_over() -> Saga:
    saga = resuming().take(resumed())
    copies = tuple(SnapshotCopy(snapshot_of(item), 100.0) for item in DISKS)
    saga.take(CopiesSeen(copies))
    return saga.take(Cleaned(("sf-1-os could not be tagged: no (Denied)",)), after_ms=CLEANING_TIMEOUT_MS)


def refused_agent(*, passing: bool) -> Saga:
    saga = arming(ONCE).take(AgentNotStarted(1, "Conflict", "the VM is busy", passing, "conflict"))
    return late(saga) if passing else saga


#: How a saga comes to its end, with what cause and code, in which step, and what the sentence says.
LEFT_OUT = LeftOut(disk_id="", name="db-1-os", lun=None, why="disks.exclude names it")

ENDS: dict[str, tuple[Callable[[], Saga], Cause, str, Phase, str]] = {
    "vm unreadable": (
        lambda: begun().take(FactsUnavailable(*DENIED, passing=False, cause="denied")),
        Cause.VM_UNREADABLE,
        "denied",
        Phase.PREFLIGHT,
        (
            "Azure would not show db-1 or its disks: The client has no right to read it "
            "(AuthorizationFailed); "
            "there is no recovery point."
        ),
    ),
    "vm unreadable for minutes": (
        lambda: late(begun().take(FactsUnavailable("ServerBusy", "busy", passing=True, cause="unavailable"))),
        Cause.VM_UNREADABLE,
        "unavailable",
        Phase.PREFLIGHT,
        "busy (ServerBusy)",
    ),
    "no answer of azure": (
        lambda: late(begun()),
        Cause.VM_UNREADABLE_IN_TIME,
        "",
        Phase.PREFLIGHT,
        "within 5 minutes",
    ),
    "no disk": (
        lambda: begun().take(FactsRead(facts(disks=()))),
        Cause.NO_DISK,
        "",
        Phase.PREFLIGHT,
        "db-1 has no managed disk",
    ),
    "obstacle": (
        lambda: begun().take(FactsRead(facts(obstacles=("disk db-1-os has 500 incremental snapshots",)))),
        Cause.OBSTACLE,
        "",
        Phase.PREFLIGHT,
        "disk db-1-os has 500",
    ),
    "script too large": (
        lambda: begun(
            replace(SCRIPTS, pre_script=Script("/pre.sh", environment=(("X", "%diskNames%" * 3000),)))
        ).take(FactsRead(facts())),
        Cause.SCRIPT_TOO_LARGE,
        "",
        Phase.PREFLIGHT,
        "the pre_script comes to",
    ),
    "agent refused": (
        lambda: refused_agent(passing=False),
        Cause.AGENT_NOT_STARTED,
        "conflict",
        Phase.ARMING,
        "start the agent in db-1: the VM is busy",
    ),
    "agent refused to the end": (
        lambda: refused_agent(passing=True),
        Cause.AGENT_NOT_STARTED,
        "conflict",
        Phase.ARMING,
        "the VM is busy (Conflict)",
    ),
    "agent silent": (
        lambda: late(arming(ONCE)),
        Cause.AGENT_SILENT,
        "",
        Phase.ARMING,
        "did not answer within 2 min",
    ),
    "agent too old": (
        lambda: arming(ONCE).take(OLD_AGENT, OLD_AGENT),
        Cause.AGENT_TOO_OLD,
        "0.0.9",
        Phase.ARMING,
        "is version 0.0.9, and 0.1.0 or newer is needed",
    ),
    "no dead-man": (
        lambda: arming(ONCE).take(replace(ready(), dead_man_armed=False)),
        Cause.DEAD_MAN_NOT_ARMED,
        "",
        Phase.ARMING,
        "could not arm its dead-man",
    ),
    "held without dead-man": (
        without_dead_man,
        Cause.DEAD_MAN_NOT_ARMED,
        "",
        Phase.QUIESCING,
        "could not arm its dead-man",
    ),
    "hold unconfirmed": (
        lambda: late(quiescing(ONCE)).take(resumed()),
        Cause.HOLD_UNCONFIRMED,
        "",
        Phase.QUIESCING,
        "did not say within 20 s",
    ),
    "script failed": (
        lambda: quiescing(ONCE).take(quiesce_failed()),
        Cause.QUIESCE_FAILED,
        "script_failed",
        Phase.QUIESCING,
        (
            "db-1 could not be held still: The pre-script ended with exit code 3 (script_failed); "
            "there is no recovery point."
        ),
    ),
    "script failed, continued": (
        lambda: unheld_to_the_end(quiescing(LENIENT).take(quiesce_failed())),
        Cause.QUIESCE_FAILED,
        "script_failed",
        Phase.QUIESCING,
        "the recovery point is crash-consistent.",
    ),
    "not admitted": (
        lambda: late(admitting().take(MustWait(1, T0 + 60_000, Limit.HELD, "2 are held already"))),
        Cause.NOT_ADMITTED,
        Limit.HELD,
        Phase.ADMITTING,
        "because there was no room for it within 10 min: 2 are held already;",
    ),
    "released early": (
        lambda: quiescing(ONCE).take(resumed(released_by="dead-man")),
        Cause.RELEASED_EARLY,
        "dead-man",
        Phase.QUIESCING,
        "let go by its dead-man before",
    ),
    "budget too short": (
        too_slow_to_hold,
        Cause.BUDGET_TOO_SHORT,
        "",
        Phase.QUIESCING,
        "2000 ms, which left too little of the freeze budget of 30 s",
    ),
    "snapshot failed": (
        lambda: capturing(ONCE).take(captured(errors=("abandoned", "throttled", "abandoned")), resumed()),
        Cause.SNAPSHOT_FAILED,
        "throttled",
        Phase.CAPTURING,
        "The snapshot of db-1's disk db-1-data-0 failed:",
    ),
    "capture lost": (unseen, Cause.SNAPSHOTS_UNSEEN, "", Phase.CAPTURING, "ended in mid-capture"),
    "dead-man fired": (
        lambda: resuming(ONCE).take(resumed(released_by="dead-man")),
        Cause.NOT_PROVED,
        Proof.DEAD_MAN,
        Phase.RESUMING,
        "the guest was released by its dead-man",
    ),
    "guest silent": (
        lambda: late(resuming(ONCE)),
        Cause.NOT_PROVED,
        Proof.SILENT,
        Phase.RESUMING,
        "the guest never said",
    ),
    "less held": (
        less_held,
        Cause.TOO_LITTLE_HELD,
        "",
        Phase.QUIESCING,
        "the filesystem /data was not held (skipped); the recovery point is crash-consistent.",
    ),
    "application required of a stopped VM": (
        lambda: begun(REQUIRED).take(FactsRead(facts(power_state="deallocated"))),
        Cause.APPLICATION_REQUIRED,
        Lacking.NOT_RUNNING,
        Phase.PREFLIGHT,
        "`application_aware: require`), and would not be: the VM was not running",
    ),
    "application required and none found": (
        lambda: required_held((Held("filesystem", "/"),)),
        Cause.APPLICATION_REQUIRED,
        Lacking.NONE_FOUND,
        Phase.QUIESCING,
        "no application was asked to hold still",
    ),
    "application required and busy": (
        lambda: required_held((Held("filesystem", "/"),), NotHeld("handler", "postgresql:5432", "timed_out")),
        Cause.APPLICATION_REQUIRED,
        "handler_timed_out",
        Phase.QUIESCING,
        "and would not be",
    ),
    "application required and halted": (
        lambda: required_held((Held("filesystem", "/"), Held("handler", "services", "halted"))),
        Cause.APPLICATION_REQUIRED,
        Lacking.NOT_QUIESCED,
        Phase.QUIESCING,
        "was halted where it stood",
    ),
    "post-script failed": (
        lambda: copied(resuming().take(resumed(post_script=script_report(POST, 5)))),
        Cause.POST_SCRIPT_FAILED,
        "script_failed",
        Phase.RESUMING,
        (
            f"The post-script {POST} of db-1 failed (script_failed): exit code 5; "
            "the recovery point is application-consistent."
        ),
    ),
    "warned": (
        warned,
        Cause.WARNED,
        "probe_failed",
        Phase.RESUMING,
        "db-1 warns of its handler postgresql:5432 (probe_failed): No answer within 5000 ms;",
    ),
    "nothing selected": (
        lambda: Saga().take(Started(), FactsRead(replace(facts(disks=()), left_out=(LEFT_OUT,)))),
        Cause.NOTHING_SELECTED,
        "",
        Phase.PREFLIGHT,
        "The policy leaves out every disk of db-1; there is no recovery point.",
    ),
    "copy late": (
        lambda: late(copying()),
        Cause.COPY_FAILED,
        "copy_late",
        Phase.COPYING,
        "were not copied to northeurope: it is at 0 % (copy_late); the recovery point itself is well,",
    ),
    "copies late": (
        lambda: late(completing()).take(Cleaned()),
        Cause.COPIES_LATE,
        "",
        Phase.COMPLETING,
        "its snapshots are kept, but should not be relied on.",
    ),
    "copies lost": (
        lambda: completing().take(CopiesSeen((), lost=(snapshot_of(DISKS[0]),))),
        Cause.COPIES_LOST,
        "",
        Phase.COMPLETING,
        "went missing while they were copied",
    ),
    "poisoned": (
        lambda: arming().take(Poisoned("watch 3")),
        Cause.POISONED,
        "",
        Phase.ARMING,
        "it was tried: watch 3;",
    ),
    "cancelled": (
        lambda: capturing().take(CancelRequested(), captured(), resumed()),
        Cause.CANCELLED,
        "",
        Phase.CAPTURING,
        "The run was cancelled while db-1 was at it;",
    ),
    "left over": (
        left_over,
        Cause.LEFT_OVER,
        "",
        Phase.CLEANING,
        "tagged: no (Denied); the recovery point itself is well, and application-consistent.",
    ),
}


def unheld_to_the_end(saga: Saga) -> Saga:
    generation = saga.state.generation
    return copied(saga.take(captured(generation, at=saga.now)))


def ended(walk: Callable[[], Saga]) -> SagaState:
    saga = walk()
    if saga.state.phase is not Phase.DONE:
        saga.take(Cleaned())
    assert saga.state.phase is Phase.DONE, saga.state.phase
    return saga.state


def told(state: SagaState) -> Problem:
    problem = problem_of(state)
    assert problem is not None
    return problem


@pytest.mark.parametrize("name", ENDS)
def test_an_end_that_is_not_well_says_what_happened_where_and_what_to_do(name: str) -> None:
    walk, cause, code, step, words = ENDS[name]
    problem = told(ended(walk))

    assert (problem.cause, problem.code, problem.step) == (cause, code, step)
    assert words in problem.sentence
    assert problem.what_to_do.endswith(".")
    assert "{" not in problem.sentence + problem.what_to_do


def test_every_cause_has_an_end_here_but_those_of_restore_points_of_groups_and_of_older_records() -> None:
    shown = {cause for _, cause, *_ in ENDS.values()}
    elsewhere = {Cause.RESTORE_POINT_FAILED, Cause.LOWER_CONSISTENCY, Cause.UNRECORDED}
    elsewhere |= {Cause.GROUP_BROKE, Cause.GROUP_LATE, Cause.GROUP_SILENT, Cause.GROUP_UNFIT}

    assert shown | elsewhere == set(Cause)


def test_a_saga_that_ends_well_or_goes_on_has_no_problem() -> None:
    well = copied(resuming().take(resumed())).state

    assert (well.outcome, problem_of(well)) == (Outcome.SUCCEEDED, None)
    assert problem_of(quiescing().state) is None


def test_what_a_second_generation_made_good_is_no_problem() -> None:
    saga = capturing().take(captured(errors=("", "throttled", "")), resumed(), ready(2))
    saga.take(quiesced(2, at=saga.now))
    saga = copied(saga.take(captured(2, at=saga.now), resumed(2)))

    assert (saga.state.outcome, problem_of(saga.state)) == (Outcome.SUCCEEDED, None)


def test_a_record_of_before_troubles_were_noted_tells_its_reasons() -> None:
    old = replace(ended(ENDS["snapshot failed"][0]), trouble=None)
    problem = told(old)

    assert (problem.cause, problem.step) == (Cause.UNRECORDED, Phase.DONE)
    assert "snapshots failed" in problem.sentence


def test_a_long_message_of_azure_is_cut() -> None:
    saga = begun().take(FactsUnavailable("Odd", "x" * 5_000, passing=False), Cleaned())

    assert len(told(saga.state).sentence) <= LONGEST_SENTENCE


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (1_500, "1500 ms"),
        (1_000, "1000 ms"),
        (30_000, "30 s"),
        (120_000, "2 min"),
        (86_400_000, "24 h"),
    ],
)
def test_times_are_written_as_people_say_them(ms: int, words: str) -> None:
    assert duration(ms) == words


# --- The tables ------------------------------------------------------------------------------------------


def classes(kind: type[ComputeError]) -> Iterator[type[ComputeError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from classes(narrower)


def test_every_cause_is_told() -> None:
    assert set(TOLD) == set(Cause)


def test_every_class_of_azures_errors_has_its_advice_and_no_other() -> None:
    assert {kind.cause for kind in classes(ComputeError)} == set(AZURE)


def test_every_error_of_a_capture_has_its_advice_and_no_other() -> None:
    assert errors_of_captures() | set(AZURE) | {""} == set(CAPTURE)


def test_every_way_in_which_a_copy_ends_has_its_advice() -> None:
    assert {LATE, FAILED, ABANDONED} | set(AZURE) == set(COPY)


def test_every_reason_of_the_agent_has_its_advice_and_no_other() -> None:
    found = failures_of_the_agent()

    assert found == set(GUEST)
    assert len(found) > 60


def test_every_link_releaser_and_warning_has_its_advice_and_no_other() -> None:
    assert set(PROOF) == set(Proof)
    assert set(ADMISSION) == {*Limit, ""}
    assert set(RELEASER) == RELEASERS
    assert set(LACKING) == set(Lacking)
    assert set(WARNING) == warnings_of_the_agent() | {"lower_consistency"}


def test_every_reason_for_which_a_script_fails_has_advice_for_post_scripts_too() -> None:
    reasons = {verdicts.FAILED, verdicts.TIMED_OUT, verdicts.KILLED, verdicts.COMPLAINED}

    assert reasons | {code for code in GUEST if code.startswith("script_")} <= set(POST_SCRIPT)


@pytest.mark.parametrize("cause", Cause)
def test_every_code_fills_every_sentence_and_advice(cause: Cause) -> None:
    done = ended(ENDS["snapshot failed"][0])
    for code in ("", "a-code-of-tomorrow", *TOLD[cause].by_code):
        trouble = Trouble(cause=cause, step=Phase.CAPTURING, code=code, subject="it", detail="so {it} is.")
        problem = told(replace(done, trouble=trouble))

        assert problem.what_to_do.endswith("."), (cause, code)
        assert not re.search(r"\{(?!it\})|\.\.", problem.sentence + problem.what_to_do), (cause, code)


def test_the_page_of_docs_has_the_tables_of_the_code() -> None:
    page = PAGE.read_text("utf-8")

    assert page == with_tables(page)
    assert "`script_timed_out`" in page
