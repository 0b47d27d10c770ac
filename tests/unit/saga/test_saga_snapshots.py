"""The names of a saga's snapshots, their tags, and what is said of disks that do not take a setting."""

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.snapshot_names import PATTERN, VARIABLES
from shared.policy.snapshots import MOST_BESIDE_SHAPE, SnapshotSettings
from shared.saga.effects import Capture
from shared.saga.events import FactsRead, Started
from shared.saga.phases import snapshot_ids
from shared.saga.snapshots import remarks, snapshot_of, tags_of
from shared.saga.state import SagaState
from tests.unit.saga.build import DISKS, SAGA, Saga, captured, disk, facts, guest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,78}[A-Za-z0-9_]")

templates = (
    st.lists(
        st.sampled_from([*(f"%{name}%" for name in VARIABLES), "a", "Z9", "_", "-"]), min_size=1, max_size=40
    )
    .map("".join)
    .filter(lambda template: re.fullmatch(PATTERN, template))
)


def with_name(template: str, *, saga: str = SAGA, vm_name: str = "db-1") -> SagaState:
    whole = Saga(guest(enabled=False))
    whole.take(Started(), FactsRead(replace(facts(), name=vm_name)))
    spec = replace(whole.state.spec, saga_id=saga, snapshots=SnapshotSettings(name=template))
    return replace(whole.state, spec=spec)


def name_of(state: SagaState, lun: int | None = None, generation: int = 1) -> str:
    return snapshot_of(state, disk(lun), generation).rpartition("/")[2]


def test_a_policy_that_says_nothing_gets_the_names_that_there_always_were() -> None:
    assert name_of(with_name("sf"), 0, 2) == f"sf-{SAGA}-g2-0"


def test_a_template_is_the_beginning_of_the_name() -> None:
    assert name_of(with_name("%vmName%-%diskName%-%date%")) == f"db-1-db-1-os-20231114-{SAGA}-g1-os"


def test_date_and_time_in_a_name_are_of_utc_wherever_the_app_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "NZST-12")
    time.tzset()
    try:
        assert name_of(with_name("%date%T%time%")).startswith("20231114T221320-")
    finally:
        monkeypatch.undo()
        time.tzset()


@given(templates, st.text(max_size=64))
def test_every_template_gives_names_that_azure_takes_and_that_differ(template: str, vm_name: str) -> None:
    state, other = with_name(template, vm_name=vm_name), with_name(template, saga="f" * 20, vm_name=vm_name)
    names = [
        name_of(each, lun, generation)
        for each in (state, other)
        for lun in (None, 0, 63)
        for generation in (1, 5)
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert all(NAME.fullmatch(name) for name in names)


def test_what_is_asked_for_is_what_would_be_discarded() -> None:
    saga = Saga(guest(enabled=False))
    spec = replace(saga.state.spec, snapshots=SnapshotSettings(name="%vmName%-%lun%-%time%"))
    saga.state = replace(saga.state, spec=spec)
    saga.take(Started(), FactsRead(facts()))
    [capture] = [effect for effect in saga.effects if isinstance(effect, Capture)]
    asked = tuple(snapshot_of(saga.state, each, capture.generation) for each in capture.disks)
    assert snapshot_ids(saga.state) == asked
    saga.take(captured())
    assert snapshot_ids(saga.state) == asked


def test_fixed_tags_win_over_the_disks_whatever_the_case() -> None:
    tagged = replace(disk(0), tags=(("Owner", "disk"), ("cost", "7"), ("stillframe-saga", "another")))
    settings = SnapshotSettings(tags=(("owner", "dba"),), copy_disk_tags=True)
    assert tags_of(settings, tagged) == {"owner": "dba", "cost": "7"}
    assert tags_of(replace(settings, copy_disk_tags=False), tagged) == {"owner": "dba"}


def test_of_more_tags_than_fit_the_first_are_taken_and_the_rest_is_told() -> None:
    tagged = replace(disk(0), tags=tuple((f"t{number:02}", "") for number in range(45)))
    settings = SnapshotSettings(tags=(("owner", "dba"),), copy_disk_tags=True)
    tags = tags_of(settings, tagged)
    assert len(tags) == MOST_BESIDE_SHAPE
    assert (tags["owner"], tags["t32"], "t33" in tags) == ("dba", "", False)
    assert list(remarks(settings, (tagged,))) == [
        "12 tags of disk db-1-data-0 do not fit on its snapshot beside the others"
    ]


def test_a_disk_without_instant_access_is_named_in_the_notes_of_the_saga() -> None:
    fast = replace(disk(1), sku="PremiumV2_LRS")
    saga = Saga(guest(enabled=False))
    spec = replace(saga.state.spec, snapshots=SnapshotSettings(instant_access_minutes=60))
    saga.state = replace(saga.state, spec=spec)
    saga.take(Started(), FactsRead(facts(disks=(*DISKS[:1], fast))))
    told = [note for note in saga.state.notes if "instant access" in note]
    assert told == ["disk db-1-os (Premium_LRS) has no instant access: its snapshot needs none"]
