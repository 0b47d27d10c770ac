"""Groups of runs: rows that their members' sagas change at the same time, in the table ``runs``.

| partition | row | holds |
|---|---|---|
| the run's id | ``group-<name>`` | the group's state, its members' VMs, what they proved |

They are made with the run and never deleted by themselves: they go when the run's partition goes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared.saga.codec import decode, encode
from shared.saga.group import GroupRules, GroupState
from shared.saga.one_instant import Share, skew_ms
from shared.storage import tables
from shared.storage.errors import GroupBusy, GroupNotFound, ReservationsBusy
from shared.storage.reservations import ROWS_KEPT, Row
from shared.storage.rows import key, pack, unpack
from shared.storage.run_records import RunRecord
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberShare:
    """What a member said in an attempt, when it had proved that it was held."""

    saga: str
    attempt: int
    share: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """A group of a run. ``vms`` are the ids of its members' VMs, in the order of ``state.members``."""

    name: str
    state: GroupState
    vms: tuple[str, ...] = ()
    shares: tuple[MemberShare, ...] = ()

    def vm_of(self, saga: str) -> str:
        """Give the id of the VM of a member; empty for a stranger."""
        pairs = zip(self.state.members, self.vms, strict=True)
        return next((vm for member, vm in pairs if member.saga == saga), "")

    def proved(self) -> tuple[Share | None, ...]:
        """Give what those members said of the instant who proved that they share it; empty before that."""
        said = {one.saga: one.share for one in self.shares if one.attempt == self.state.attempt}
        return tuple(said.get(saga) for saga in self.state.proved)

    @property
    def skew_ms(self) -> int | None:
        """How far the snapshots lie apart that share the instant; None before it is proved that they do."""
        return skew_ms([share for share in self.proved() if share is not None])


_NOBODY = GroupRecord(name="", state=GroupState(rules=GroupRules(), members=()))


class GroupTable:
    """The groups of runs. ``pause`` is for tests."""

    def __init__(
        self,
        storage: TableStore,
        *,
        table: str = "runs",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._storage = storage
        self._table = table
        self._pause = pause
        self._rows: OrderedDict[tuple[str, str], Row[GroupRecord]] = OrderedDict()

    async def create(self, run_id: str, groups: Sequence[GroupRecord]) -> None:
        """Write the groups of a run, before its members start; those that are there stay as they are."""
        for group in groups:
            row = pack(key(run_id), key(_GROUP, group.name), encode(group), Form.GROUP)
            try:
                await self._storage.transact(self._table, [tables.create(row)])
            except WriteRefused:  # the same request, sent twice at once, or a selection that ended twice
                await self.get(run_id, group.name)

    async def get(self, run_id: str, name: str) -> GroupRecord:
        """Read a group. Raises ``GroupNotFound``."""
        found = await self._storage.get(self._table, key(run_id), key(_GROUP, name))
        if found is None:
            raise GroupNotFound(run_id, name)
        return decode(GroupRecord, unpack(found[0], Form.GROUP))

    async def of_run(self, run_id: str) -> list[GroupRecord]:
        """Read all groups of a run, in the order of their names."""
        rows = self._storage.rows(self._table, key(run_id), after="group-", until="group.")
        return [decode(GroupRecord, unpack(row, Form.GROUP)) async for row, _ in rows]

    async def of_record(self, record: RunRecord) -> list[GroupRecord]:
        """Read all groups of a run whose record is known; asks nobody where it has none."""
        return await self.of_run(record.run_id) if record.settings.get("groups") else []

    async def change[R](
        self, run_id: str, name: str, how: Callable[[GroupRecord], tuple[GroupRecord, R]]
    ) -> R:
        """Change a group; gives what ``how`` says beside it. It may be called more than once.

        It is always read first: a copy that is out of date must not call what a member says out of date.

        Raises:
            GroupNotFound: there is no such group.
            GroupBusy: others changed it at the same time, again and again; nothing was changed.
        """

        def known(record: GroupRecord) -> tuple[GroupRecord, R]:
            if record is _NOBODY:
                raise GroupNotFound(run_id, name)
            return how(record)

        try:
            return await self._row(run_id, name).change(known)
        except ReservationsBusy as error:
            raise GroupBusy(run_id, name) from error

    def _row(self, run_id: str, name: str) -> Row[GroupRecord]:
        row = self._rows.get((run_id, name))
        if row is None:
            place = (key(run_id), key(_GROUP, name))
            row = Row(
                self._storage, self._table, place, _NOBODY, pause=self._pause, keep=False, form=Form.GROUP
            )
            self._rows[run_id, name] = row
        self._rows.move_to_end((run_id, name))
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return row
