"""The grade follows from the evidence: every link counts, and clocks only ever lower it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.saga.consistency import Grade, grade
from shared.saga.evidence import Evidence, Held, HeldUntil, NotHeld, QuiesceReport, ResumeReport
from tests.unit.saga.build import DISKS, MOUNTS, PRE, T0, capture_of, whole_evidence

Breakage = Callable[[Evidence], Evidence]


def with_quiesced(evidence: Evidence, **changes: object) -> Evidence:
    assert evidence.quiesced is not None
    report: QuiesceReport = replace(evidence.quiesced, **changes)  # type: ignore[arg-type]
    return replace(evidence, quiesced=report)


def with_resumed(evidence: Evidence, **changes: object) -> Evidence:
    assert evidence.resumed is not None
    report: ResumeReport = replace(evidence.resumed, **changes)  # type: ignore[arg-type]
    return replace(evidence, resumed=report)


def not_until_order(evidence: Evidence, index: int) -> Evidence:
    assert evidence.resumed is not None
    items = list(evidence.resumed.held)
    items[index] = replace(items[index], held_until_order=False, detail="thawed by somebody")
    return with_resumed(evidence, held=tuple(items))


def unsaid(evidence: Evidence, index: int) -> Evidence:
    assert evidence.resumed is not None
    held = evidence.resumed.held
    return with_resumed(evidence, held=held[:index] + held[index + 1 :])


def holding(*held: Held, anchored: bool = False) -> Evidence:
    """Give the evidence of a guest that held these things, and says of each that it was held."""
    told = tuple(HeldUntil(item.kind, item.name, held_until_order=True) for item in held)
    return with_resumed(with_quiesced(whole_evidence(), held=held, anchored=anchored), held=told)


def with_capture(evidence: Evidence, index: int, **changes: object) -> Evidence:
    captures = list(evidence.captures)
    captures[index] = replace(captures[index], **changes)  # type: ignore[arg-type]
    return replace(evidence, captures=tuple(captures))


#: Each removes one link of the chain; the sentence must contain the words.
BREAKAGES: dict[str, tuple[Breakage, str]] = {
    "never quiesced": (lambda e: replace(e, quiesced=None, quiesced_at=None), "asked to hold still"),
    "held nothing": (lambda e: with_quiesced(e, held=()), "held nothing"),
    "no dead-man": (lambda e: with_quiesced(e, dead_man_armed=False), "dead-man was not armed"),
    "no disk": (lambda e: replace(e, disks=(), captures=()), "no disk"),
    "a disk was forgotten": (lambda e: replace(e, captures=e.captures[:-1]), "db-1-data-1"),
    "a snapshot failed": (lambda e: with_capture(e, 1, error="Conflict"), "db-1-data-0"),
    "a snapshot has no instant": (lambda e: with_capture(e, 0, time_created=None), "db-1-os"),
    "a snapshot was not seen": (lambda e: with_capture(e, 2, succeeded_seen_at=None), "db-1-data-1"),
    "resume came first": (lambda e: replace(e, captured_at=None), "before all snapshots"),
    "never ordered to resume": (lambda e: replace(e, resume_ordered_at=None), "before it was ordered"),
    "never resumed": (lambda e: replace(e, resumed=None, resumed_at=None), "never said whether"),
    "another boot": (lambda e: with_resumed(e, boot_id="boot-2"), "restarted"),
    "no boot known": (lambda e: with_resumed(with_quiesced(e, boot_id=""), boot_id=""), "which boot"),
    "the dead-man let go": (lambda e: with_resumed(e, released_by="dead-man"), "by its dead-man"),
    "the agent let go": (lambda e: with_resumed(e, released_by="agent"), "by its agent"),
    "a restart let go": (lambda e: with_resumed(e, released_by="restart"), "restarted agent"),
    "a stranger let go": (lambda e: with_resumed(e, released_by="somebody"), "somebody"),
    "not held until the order": (lambda e: with_resumed(e, held_until_order=False), "before the order"),
    "one mount let go": (lambda e: not_until_order(e, 1), "thawed by somebody"),
    "one mount not spoken of": (lambda e: unsaid(e, 2), "did not say whether the filesystem"),
    "the script not spoken of": (lambda e: unsaid(e, 0), f"did not say whether the script {PRE}"),
    "its clock was put forward": (lambda e: with_resumed(e, clock_jump_ms=5_001), "+5001 ms"),
    "its clock was put back": (lambda e: with_resumed(e, clock_jump_ms=-30_000), "-30000 ms"),
    "its clocks stood still": (lambda e: replace(e, quiesced_at=T0 - 7_300), "was seen to hold for 8500 ms"),
}


def test_a_whole_chain_with_scripts_is_application_consistent() -> None:
    verdict = grade(whole_evidence())

    assert verdict.grade is Grade.APPLICATION
    assert "3400 ms" in verdict.reasons[-1]


def test_a_whole_chain_of_filesystems_alone_is_filesystem_consistent_and_says_why() -> None:
    verdict = grade(whole_evidence(scripts=False))

    assert verdict.grade is Grade.FILESYSTEM
    assert "no application" in verdict.reasons[0]


@pytest.mark.parametrize(("breakage", "words"), BREAKAGES.values(), ids=BREAKAGES)
def test_a_missing_link_means_crash_and_is_named(breakage: Breakage, words: str) -> None:
    verdict = grade(breakage(whole_evidence()))

    assert verdict.grade is Grade.CRASH
    assert any(words in reason for reason in verdict.reasons), verdict.reasons


@given(
    names=st.lists(st.sampled_from(sorted(BREAKAGES)), min_size=1, max_size=4, unique=True),
    scripts=st.booleans(),
)
def test_any_links_removed_from_any_whole_chain_leave_crash_with_readable_reasons(
    *, names: list[str], scripts: bool
) -> None:
    evidence = whole_evidence(scripts=scripts)
    for name in names:
        breakage, _ = BREAKAGES[name]
        try:
            evidence = breakage(evidence)
        except (AssertionError, IndexError):  # what it breaks is gone already
            continue
    verdict = grade(evidence)

    assert verdict.grade is Grade.CRASH
    assert verdict.reasons
    for reason in verdict.reasons:
        assert "None" not in reason
        assert "(" not in reason or reason.endswith(")")
        assert "  " not in reason


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("read_only", Grade.APPLICATION),
        ("network", Grade.APPLICATION),
        ("not_supported", Grade.CRASH),
        ("skipped_by_administrator", Grade.CRASH),
        ("holds_agent_state", Grade.CRASH),
        ("a reason of a later agent", Grade.CRASH),
    ],
)
def test_a_filesystem_that_went_on_writing_breaks_the_chain(reason: str, expected: Grade) -> None:
    verdict = grade(with_quiesced(whole_evidence(), not_held=(NotHeld("filesystem", "/srv", reason),)))

    assert verdict.grade is expected
    assert expected is Grade.APPLICATION or "/srv" in verdict.reasons[0]


@pytest.mark.parametrize("kind", ["script", "handler", "vss"])
def test_an_application_that_was_not_held_leaves_filesystem_consistency(kind: str) -> None:
    missed = NotHeld(kind, "postgresql", "not_running")
    verdict = grade(with_quiesced(whole_evidence(), not_held=(missed,)))

    assert verdict.grade is Grade.FILESYSTEM
    assert "postgresql" in verdict.reasons[0]


def test_a_script_alone_without_a_held_filesystem_proves_nothing() -> None:
    verdict = grade(holding(Held("script", PRE)))

    assert verdict.grade is Grade.CRASH
    assert "cannot be proved" in verdict.reasons[1]


def test_contradicting_words_about_one_mount_count_as_let_go() -> None:
    evidence = whole_evidence()
    assert evidence.resumed is not None
    denial = HeldUntil("filesystem", MOUNTS[1], held_until_order=False)
    for held in ((denial, *evidence.resumed.held), (*evidence.resumed.held, denial)):
        assert grade(with_resumed(evidence, held=held)).grade is Grade.CRASH


def test_clocks_do_not_count_only_what_came_before_what() -> None:
    skewed = tuple(capture_of(item, at=5) for item in DISKS)
    later = replace(whole_evidence(), captures=skewed, quiesced_at=T0 + 60_000)
    assert grade(later).grade is Grade.APPLICATION


def test_grades_are_ordered_best_first() -> None:
    order = [Grade.APPLICATION, Grade.FILESYSTEM, Grade.CRASH]
    for place, better in enumerate(order):
        for other_place, other in enumerate(order):
            assert better.at_least(other) is (place <= other_place)


def test_the_digest_is_of_the_evidence_and_of_nothing_else() -> None:
    assert whole_evidence().digest() == whole_evidence().digest()
    assert len(whole_evidence().digest()) == 64
    for breakage, _ in BREAKAGES.values():
        assert breakage(whole_evidence()).digest() != whole_evidence().digest()


def test_the_digest_is_of_canonical_json_without_defaults_so_that_it_outlives_versions() -> None:
    evidence = Evidence(
        generation=2,
        disks=("/disks/é",),
        quiesced=QuiesceReport(
            boot_id="b",
            dead_man_armed=True,
            held=(Held("filesystem", "/"),),
            not_held=(),
            quiesce_ms=3,
            budget_left_ms=4,
        ),
    )
    canonical = (
        '{"disks":["/disks/\\u00e9"],"generation":2,"quiesced":{"boot_id":"b","budget_left_ms":4,'
        '"dead_man_armed":true,"held":[{"kind":"filesystem","name":"/"}],"not_held":[],"quiesce_ms":3}}'
    )

    assert evidence.digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_freeze_window_is_the_guests_own_measure_or_unknown() -> None:
    assert whole_evidence().freeze_window_ms == 3_400
    assert replace(whole_evidence(), resumed=None).freeze_window_ms is None
