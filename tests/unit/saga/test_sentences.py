"""The sentences that a person reads at night, word by word: each says what it is about."""

from dataclasses import replace

import pytest

from shared.saga.consistency import Grade, grade
from shared.saga.evidence import Evidence, Held, HeldUntil, NotHeld, RestorePointReport
from shared.saga.restore_points import platform_grade
from tests.unit.saga.build import PRE, T0, whole_evidence
from tests.unit.saga.test_consistency import BREAKAGES, holding, with_quiesced, with_resumed

HELD = "the guest held everything for 3400 ms, until it was ordered to resume"
INSTANT = "the instant lies in a snapshot inside the guest ({}), whole until every disk was captured"
#: The whole of what is said when one link of the chain is missing, by the names of ``BREAKAGES``.
MISSING: dict[str, str] = {
    "never quiesced": "nothing in the guest was asked to hold still, or it never said that it did",
    "held nothing": "the guest held nothing",
    "no dead-man": "the guest's dead-man was not armed",
    "no disk": "no disk was snapshotted",
    "a disk was forgotten": "the snapshot of disk db-1-data-1 was not seen to succeed",
    "a snapshot failed": "the snapshot of disk db-1-data-0 was not seen to succeed",
    "a snapshot has no instant": "the snapshot of disk db-1-os was not seen to succeed",
    "a snapshot was not seen": "the snapshot of disk db-1-data-1 was not seen to succeed",
    "resume came first": "the order to resume was given before all snapshots were seen to succeed",
    "never ordered to resume": "the guest let go before it was ordered to",
    "never resumed": "the guest never said whether everything was held until the order to resume",
    "another boot": "the guest was restarted in between",
    "no boot known": "the guest did not say which boot of it held",
    "the dead-man let go": (
        "the guest was released by its dead-man, because the freeze budget was spent or the agent was lost"
    ),
    "the agent let go": "the guest was released by its agent, because the dead-man was lost",
    "a restart let go": "the guest was released by a restarted agent",
    "a stranger let go": "the guest was released by somebody",
    "not held until the order": "the guest says that something had been let go before the order",
    "one mount let go": "the filesystem / was not held until the order (thawed by somebody)",
    "one mount not spoken of": "the guest did not say whether the filesystem /data was held until the order",
    "the script not spoken of": f"the guest did not say whether the script {PRE} was held until the order",
    "its clock was put forward": (
        "the guest's clock moved by +5001 ms while it was held: it was paused, or its clock was set"
    ),
    "its clock was put back": (
        "the guest's clock moved by -30000 ms while it was held: it was paused, or its clock was set"
    ),
    "its clocks stood still": (
        "the guest says that it held for 3400 ms, but was seen to hold for 8500 ms: it was paused"
    ),
}

WHOLE = whole_evidence()


def test_every_link_that_may_be_missing_has_its_sentence() -> None:
    assert set(MISSING) == set(BREAKAGES)


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_said_and_nothing_else(name: str) -> None:
    breakage, _ = BREAKAGES[name]

    verdict = grade(breakage(WHOLE))

    assert verdict.reasons == (MISSING[name],)
    assert (verdict.grade, verdict.unbroken) == (Grade.CRASH, False)


def test_an_anchor_that_the_guest_does_not_name_is_none() -> None:
    verdict = grade(with_quiesced(WHOLE, anchored=True))

    assert verdict.reasons == ("the guest says that a snapshot inside it holds the instant, but names none",)
    assert (verdict.grade, verdict.unbroken) == (Grade.CRASH, False)


def test_a_mount_let_go_without_a_detail_is_said_without_brackets() -> None:
    told = HeldUntil("filesystem", "/", held_until_order=False)
    assert WHOLE.resumed is not None
    [script, _, *others] = WHOLE.resumed.held

    verdict = grade(with_resumed(WHOLE, held=(script, told, *others)))

    assert verdict.reasons == ("the filesystem / was not held until the order",)


@pytest.mark.parametrize("jump_ms", [5_000, -5_000, 0])
def test_a_clock_that_was_set_right_by_little_is_no_pause(jump_ms: int) -> None:
    assert grade(with_resumed(WHOLE, clock_jump_ms=jump_ms)).grade is Grade.APPLICATION


@pytest.mark.parametrize(("early_ms", "grade_then"), [(7_200, Grade.APPLICATION), (7_201, Grade.CRASH)])
def test_a_hold_may_look_longer_from_outside_by_no_more_than_the_tolerance(
    early_ms: int, grade_then: Grade
) -> None:
    assert grade(replace(WHOLE, quiesced_at=T0 - early_ms)).grade is grade_then


# --- what a whole chain stands on -----------------------------------------------------------------------

SCRIPT = Held("script", PRE)
DATA = Held("filesystem", "/data")
ANCHOR = Held("filesystem", "/data", "anchor")
LOGS = Held("filesystem", "/log", "anchor")


def with_not_held(evidence: Evidence, *items: NotHeld) -> Evidence:
    return with_quiesced(evidence, not_held=items)


STANDS: dict[str, tuple[Evidence, Grade, tuple[str, ...]]] = {
    "everything held": (WHOLE, Grade.APPLICATION, (HELD,)),
    "no application": (
        holding(DATA),
        Grade.FILESYSTEM,
        ("no application was asked to hold still", HELD),
    ),
    "a filesystem left writing": (
        with_not_held(holding(SCRIPT, DATA), NotHeld("filesystem", "/x", "busy")),
        Grade.CRASH,
        ("the filesystem /x was not held (busy)",),
    ),
    "one that was not anchored counts where there is no anchor": (
        with_not_held(holding(SCRIPT, DATA), NotHeld("filesystem", "/x", "not_anchored")),
        Grade.CRASH,
        ("the filesystem /x was not held (not_anchored)",),
    ),
    "a filesystem that nobody writes to": (
        with_not_held(holding(SCRIPT, DATA), NotHeld("filesystem", "/x", "read_only")),
        Grade.APPLICATION,
        (HELD,),
    ),
    "a script alone": (
        holding(SCRIPT),
        Grade.CRASH,
        ("no filesystem was held", f"what a script alone holds cannot be proved ({PRE})"),
    ),
    "a handler alone in a mode that was not shown": (
        holding(Held("handler", "mysql", "locked")),
        Grade.CRASH,
        (
            "no filesystem was held",
            "the handler mysql (locked) was not shown to hold every write without held filesystems",
        ),
    ),
    "a handler alone in no mode": (
        holding(Held("handler", "mysql")),
        Grade.CRASH,
        (
            "no filesystem was held",
            "the handler mysql was not shown to hold every write without held filesystems",
        ),
    ),
    "a handler alone in a mode that was shown": (
        holding(Held("handler", "postgresql:5433:main", "drained")),
        Grade.APPLICATION,
        ("the handler postgresql:5433:main (drained) holds every write by itself (docs/proof.md)", HELD),
    ),
    "an application that was not held": (
        with_not_held(holding(SCRIPT, DATA), NotHeld("handler", "mysql", "handler_busy")),
        Grade.FILESYSTEM,
        ("the handler mysql was not held (handler_busy)", HELD),
    ),
    "one not held beside one that holds alone": (
        with_not_held(holding(Held("handler", "mariadb", "drained")), NotHeld("script", PRE, "failed")),
        Grade.CRASH,
        (
            f"the script {PRE} was not held (failed)",
            "the handler mariadb (drained) holds every write by itself (docs/proof.md)",
            HELD,
        ),
    ),
    "a halted application": (
        holding(Held("handler", "services", "halted"), DATA),
        Grade.FILESYSTEM,
        ("the handler services was halted where it stood, not brought to rest", HELD),
    ),
    "an anchor": (
        holding(SCRIPT, ANCHOR, LOGS, anchored=True),
        Grade.APPLICATION,
        (INSTANT.format("/data, /log"),),
    ),
    "a filesystem outside of the anchor": (
        with_not_held(holding(SCRIPT, ANCHOR, anchored=True), NotHeld("filesystem", "/x", "not_anchored")),
        Grade.APPLICATION,
        (
            "the filesystem /x is not in the snapshot inside the guest",
            INSTANT.format("/data"),
        ),
    ),
    "an anchor, no application, and a filesystem outside": (
        with_not_held(holding(ANCHOR, anchored=True), NotHeld("filesystem", "/x", "not_anchored")),
        Grade.CRASH,
        ("the filesystem /x is not in the snapshot inside the guest",),
    ),
    "an anchor, and a filesystem left writing": (
        with_not_held(holding(SCRIPT, ANCHOR, anchored=True), NotHeld("filesystem", "/x", "busy")),
        Grade.CRASH,
        ("the filesystem /x was not held (busy)",),
    ),
    "an anchor, and an application that was not held": (
        with_not_held(holding(SCRIPT, ANCHOR, anchored=True), NotHeld("handler", "/x", "not_anchored")),
        Grade.FILESYSTEM,
        (
            "the handler /x was not held (not_anchored)",
            INSTANT.format("/data"),
        ),
    ),
}


@pytest.mark.parametrize(("evidence", "grade_then", "reasons"), STANDS.values(), ids=STANDS)
def test_what_a_grade_stands_on_is_said(
    evidence: Evidence, grade_then: Grade, reasons: tuple[str, ...]
) -> None:
    verdict = grade(evidence)

    assert (verdict.grade, verdict.reasons, verdict.unbroken) == (grade_then, reasons, True)


@pytest.mark.parametrize(
    ("asked", "reached", "grade_then", "sentence"),
    [
        ("", "", Grade.CRASH, "Azure does not say how consistent the restore point is"),
        (
            "",
            "ApplicationConsistent",
            Grade.APPLICATION,
            "Azure was asked for its best and says that the restore point is ApplicationConsistent",
        ),
        (
            "CrashConsistent",
            "CrashConsistent",
            Grade.CRASH,
            "Azure was asked for CrashConsistent and says that the restore point is CrashConsistent",
        ),
    ],
)
def test_the_platforms_word_is_told(asked: str, reached: str, grade_then: Grade, sentence: str) -> None:
    verdict = platform_grade(RestorePointReport(point_id="p", asked=asked, reached=reached))

    assert (verdict.grade, verdict.reasons) == (grade_then, (sentence,))
