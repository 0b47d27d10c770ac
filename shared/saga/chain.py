"""The chain of evidence: every link that a proof needs, and a sentence for each that is missing."""

from collections.abc import Iterator

from shared.saga.evidence import Evidence, QuiesceReport, ResumeReport

#: A guest whose clocks came apart by more than this (ms) while it was held was paused, or set back: NTP moves
#: a clock that is right by less.
CLOCK_TOLERANCE_MS = 5_000


def missing_links(evidence: Evidence) -> Iterator[str]:
    """Say every link of the chain that is missing, in causal order."""
    if evidence.quiesced is None:
        yield "nothing in the guest was asked to hold still, or it never said that it did"
        return
    if not evidence.quiesced.held:
        yield "the guest held nothing"
    if not evidence.quiesced.dead_man_armed:
        yield "the guest's dead-man was not armed"
    if evidence.quiesced.anchored and not any(item.mode == "anchor" for item in evidence.quiesced.held):
        yield "the guest says that a snapshot inside it holds the instant, but names none"
    yield from _snapshot_links(evidence)
    if evidence.resume_ordered_at is None:
        yield "the guest let go before it was ordered to"
    if evidence.resumed is None:
        yield "the guest never said whether everything was held until the order to resume"
        return
    yield from _hold_links(evidence.quiesced, evidence.resumed)
    yield from _clock_links(evidence, evidence.quiesced, evidence.resumed)


def _snapshot_links(evidence: Evidence) -> Iterator[str]:
    by_disk = {capture.disk_id: capture for capture in evidence.captures}
    if not evidence.disks:
        yield "no disk was snapshotted"
    for disk in evidence.disks:
        capture = by_disk.get(disk)
        name = disk.rpartition("/")[2]
        if capture is None or not capture.captured:
            yield f"the snapshot of disk {name} was not seen to succeed"
    if evidence.resume_ordered_at is not None and evidence.captured_at is None:
        yield "the order to resume was given before all snapshots were seen to succeed"


def _hold_links(quiesced: QuiesceReport, resumed: ResumeReport) -> Iterator[str]:
    if not quiesced.boot_id:
        yield "the guest did not say which boot of it held"
    elif resumed.boot_id != quiesced.boot_id:
        yield "the guest was restarted in between"
    if resumed.released_by != "order":
        yield f"the guest was released by {_RELEASER.get(resumed.released_by, resumed.released_by)}"
    elif not resumed.held_until_order:
        yield "the guest says that something had been let go before the order"
    told = {(item.kind, item.name) for item in resumed.held}
    for held in quiesced.held:
        # What an anchor stands for went on before the ack, which is sent only if all of it held until then.
        owed = held.mode == "anchor" or not quiesced.anchored
        if owed and (held.kind, held.name) not in told:
            yield f"the guest did not say whether the {held.kind} {held.name} was held until the order"
    for item in resumed.held:
        if not item.held_until_order:
            detail = f" ({item.detail})" if item.detail else ""
            yield f"the {item.kind} {item.name} was not held until the order{detail}"


def _clock_links(evidence: Evidence, quiesced: QuiesceReport, resumed: ResumeReport) -> Iterator[str]:
    """Say that a guest was paused while it was held: its budget was then longer than it knows.

    The first witness is the guest's wall clock, where something sets it right again after the pause; the
    second is the app's clock, by which a hold cannot have been longer than by the guest's own.
    """
    if abs(resumed.clock_jump_ms) > CLOCK_TOLERANCE_MS:
        jump = f"{resumed.clock_jump_ms:+} ms"
        yield f"the guest's clock moved by {jump} while it was held: it was paused, or its clock was set"
    if quiesced.anchored or evidence.quiesced_at is None or evidence.resume_ordered_at is None:
        return
    seen_ms = evidence.resume_ordered_at - evidence.quiesced_at
    if seen_ms > resumed.window_ms + CLOCK_TOLERANCE_MS:
        yield (
            f"the guest says that it held for {resumed.window_ms} ms, but was seen to hold for {seen_ms} ms: "
            "it was paused"
        )


_RELEASER = {
    "dead-man": "its dead-man, because the freeze budget was spent or the agent was lost",
    "agent": "its agent, because the dead-man was lost",
    "restart": "a restarted agent",
}
