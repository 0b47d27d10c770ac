r"""The VSS anchor of Windows: a persistent set of shadow copies over the volumes, made by diskshadow.

When ``create`` returns, VSS has let its writers go on already: so the instant cannot be held from outside,
and lies in the shadow copies instead, which every later image of the disks contains.

Identity is first ``transcript:<path>``, what diskshadow is about to print to; from it whoever comes later
learns whether a set was made. Then it is ``set:{...}``.
"""

import os
import shutil
import time
from typing import Callable, Mapping, Optional, Tuple

from agent.anchors import Anchor, Anchored, AnchorRefused, vss_settings, vss_text, vss_tools
from agent.anchors.vss_settings import VssSettings
from agent.anchors.vss_text import Created
from agent.anchors.vss_tools import Tools

_TRANSCRIPT, _SET = "transcript:", "set:"

#: VSS_WRITER_STATE: waiting for freeze, thaw and the end of a snapshot; from 6 on a failure.
_IN_PROGRESS, _FAILED = (2, 3, 4), 6


class Vss(Anchor):
    r"""``volumes`` gives the fixed volumes, as ``C:`` or ``C:\mounted``."""

    def __init__(
        self,
        tools: Tools,
        volumes: Callable[[], Tuple[str, ...]],
        free: Callable[[str], int] = lambda name: shutil.disk_usage(name + os.sep).free,
    ) -> None:
        self._tools = tools
        self._volumes = volumes
        self._free = free

    def preflight(self, settings: Mapping[str, str], environ: Mapping[str, str]) -> Tuple[str, ...]:  # noqa: ARG002
        """Look for diskshadow, the volumes, room for differences, and the writers' states.

        What an earlier creation left behind is deleted first: it takes room, and nobody is held yet who would
        wait for that.
        """
        wanted = vss_settings.read(settings)
        program = self._tools.path("diskshadow.exe")
        if not os.path.exists(program):
            detail = "There is no {}: diskshadow comes with Windows Server only.".format(program)
            raise AnchorRefused("provider_missing", detail)
        self.tidy()
        self._check_room(wanted, self._tools.admin("list", "shadowstorage"))
        return _check_states(wanted, self._tools.admin("list", "writers"))

    def create(
        self,
        settings: Mapping[str, str],
        environ: Mapping[str, str],  # noqa: ARG002 - what it says is in the tools
        deadline_ms: int,
        note: Callable[[str], None],
    ) -> Anchored:
        """Create the set; again where VSS says what is expected to pass, and there is time."""
        wanted = vss_settings.read(settings)
        ends = time.monotonic() + deadline_ms / 1000.0
        volumes = self._chosen(wanted)
        for attempt in range(1, wanted.tries + 1):
            try:
                return self._create(wanted, volumes, ends, note)
            except _MayPass as refusal:
                pause = wanted.retry_delay_ms / 1000.0
                if attempt == wanted.tries or time.monotonic() + 2 * pause >= ends:
                    raise AnchorRefused(refusal.reason, refusal.detail) from None
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def whole(self, anchored: Anchored) -> Tuple[bool, str]:
        """Say whether every volume still has its shadow copy: Windows drops copies that find no room."""
        try:
            listed = self._listed(_set_of(anchored.identity))
        except AnchorRefused as refusal:
            return False, refusal.detail
        known = {name.upper() for name in listed}
        gone = [name for name in anchored.names if name.upper() not in known]
        if gone:
            detail = "The shadow copy of {} is gone; its differences may have found no room."
            return False, detail.format(", ".join(gone))
        return True, anchored.detail

    def delete(self, identity: str) -> None:
        """Delete the set, and see that it is gone."""
        found = identity
        if identity.startswith(_TRANSCRIPT):
            printed = vss_tools.left(identity[len(_TRANSCRIPT) :])
            found = _SET + vss_text.read_creation(printed).identity
        if found != _SET:
            self._delete(_set_of(found))
        self._tools.unmark(identity)

    def tidy(self) -> None:
        """Delete the sets of earlier creations: a reboot took away who would have done it.

        Raises:
            AnchorRefused: one of them is still there.
        """
        for identity in self._tools.marked().values():
            self.delete(identity)

    # --- one creation ---------------------------------------------------------------------------

    def _create(
        self, wanted: VssSettings, volumes: Tuple[str, ...], ends: float, note: Callable[[str], None]
    ) -> Anchored:
        stem = self._tools.stem()
        script = vss_text.creation(
            volumes, stem + ".cab", full=wanted.full, exclude=wanted.exclude, verify=wanted.verify
        )

        def known_as(identity: str) -> str:
            self._tools.mark(stem, identity)
            note(identity)
            return identity

        identity = known_as(_TRANSCRIPT + stem + ".txt")
        code = self._tools.create(stem, script, max(0.0, ends - time.monotonic()))
        created = vss_text.read_creation(vss_tools.read(stem + ".txt"))
        if created.identity:
            identity = known_as(_SET + created.identity)
        refusal = _judge(created, volumes, wanted, code)
        if refusal is not None:
            self.delete(identity)
            raise refusal
        left_out = tuple("the writer {} was left out, as was ordered".format(name) for name in wanted.exclude)
        detail = "shadow copy set {}, {} backup, {} writers, metadata in {}".format(
            created.identity, "full" if wanted.full else "copy", len(created.writers), stem + ".cab"
        )
        return Anchored("vss", identity, volumes, detail, left_out)

    def _chosen(self, wanted: VssSettings) -> Tuple[str, ...]:
        fixed = self._volumes()
        known = {name.upper(): name for name in fixed}
        missing = [name for name in wanted.volumes if name.upper() not in known]
        if missing:
            detail = "{} is no fixed volume of this guest; they are {}.".format(
                ", ".join(missing), ", ".join(fixed) or "none"
            )
            raise AnchorRefused("no_volume", detail)
        chosen = tuple(known[name.upper()] for name in wanted.volumes) or fixed
        if not chosen:
            raise AnchorRefused("no_volume", "This guest has no fixed volume.")
        return chosen

    def _check_room(self, wanted: VssSettings, storage: str) -> None:
        """Refuse where a volume has no room for differences: within their bound, or else on itself."""
        bounded = vss_text.read_room(storage)
        for name in self._chosen(wanted):
            room = bounded[name.upper()] if name.upper() in bounded else self._free(name)
            if room < wanted.least_free_mb * 1024 * 1024:
                detail = "{} has room for {} MB of differences, {} are wanted.".format(
                    name, max(0, room) // (1024 * 1024), wanted.least_free_mb
                )
                raise AnchorRefused("diff_area_low", detail)

    def _listed(self, identity: str) -> Tuple[str, ...]:
        return vss_text.read_volumes(self._tools.session(vss_text.listing(identity)))

    def _delete(self, identity: str) -> None:
        said = self._tools.session(vss_text.deletion(identity))
        left = self._listed(identity)
        if left:
            detail = "The shadow copies of {} are still there: {}"
            raise AnchorRefused("anchor_failed", detail.format(", ".join(left), vss_tools.last_lines(said)))


class _MayPass(AnchorRefused):
    """What may go well a little later."""


def _judge(
    created: Created, volumes: Tuple[str, ...], wanted: VssSettings, code: Optional[int]
) -> Optional[AnchorRefused]:
    """Say why a creation is no anchor; None if every link of its proof is there."""
    if code is None:
        return AnchorRefused("timed_out", "diskshadow was not done in time, and was ended.")
    failed = [writer for writer in created.writers if writer.failed and writer.name not in wanted.exclude]
    if failed:
        named = ", ".join("{} ({}, 0x{:08X})".format(w.name, w.status, w.code & 0xFFFFFFFF) for w in failed)
        retryable = all(writer.code in vss_text.WRITER_RETRYABLE for writer in failed)
        reason = "writer_retryable" if retryable else "writer_failed"
        return AnchorRefused(reason, "Writers did not do their part: {}.".format(named))
    if code != 0 or not created.identity:
        return _refusal_of(created.codes, code)
    if created.without_writers or not created.writers:
        return AnchorRefused("anchor_failed", "The set was made, but nothing says that writers took part.")
    if len(created.copies) != len(volumes):
        detail = "{} shadow copies of {} volumes were made.".format(len(created.copies), len(volumes))
        return AnchorRefused("anchor_failed", detail)
    return None


def _refusal_of(codes: Tuple[int, ...], code: int) -> AnchorRefused:
    named = ", ".join("0x{:08X}".format(number) for number in codes) or "exit code {}".format(code)
    detail = "diskshadow made no set: {}.".format(named)
    for number in codes:
        if number in vss_text.NO_ROOM:
            return AnchorRefused("diff_area_low", detail)
        if number in vss_text.WRITER_RETRYABLE:
            return AnchorRefused("writer_retryable", detail)
        if number in vss_text.WRITER_FAILED:
            return AnchorRefused("writer_failed", detail)
        if number in vss_text.TRANSIENT:
            busy = number == vss_text.IN_PROGRESS
            return _MayPass("set_in_progress" if busy else "anchor_failed", detail)
    return AnchorRefused("anchor_failed", detail)


def _check_states(wanted: VssSettings, text: str) -> Tuple[str, ...]:
    """Refuse while a snapshot is under way; warn of writers whose last one failed: the next may do well."""
    states = vss_text.read_states(text)
    if not states:
        raise AnchorRefused(
            "writer_failed", "vssadmin lists no writer: {}".format(vss_tools.last_lines(text))
        )
    busy = sorted(name for name, state in states.items() if state in _IN_PROGRESS)
    if busy:
        raise AnchorRefused("set_in_progress", "Another snapshot is under way: {}.".format(", ".join(busy)))
    return tuple(
        "the writer {} failed in the last snapshot (state {})".format(name, state)
        for name, state in sorted(states.items())
        if state >= _FAILED and name not in wanted.exclude
    )


def _set_of(identity: str) -> str:
    found = identity[len(_SET) :] if identity.startswith(_SET) else ""
    if not vss_text.GUID.match(found):
        raise AnchorRefused("anchor_failed", "{} names no shadow copy set.".format(identity[:80]))
    return found
