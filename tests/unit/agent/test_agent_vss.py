"""The VSS anchor, with programs that print what diskshadow and vssadmin print."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.anchors import AnchorRefused, vss_settings, vss_text
from agent.anchors.vss import Vss
from agent.anchors.vss_tools import Tools
from tests.integration.agent.app_side import until

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = """#!{python}
import sys
sys.path.insert(0, {repository!r})
from local.vss_stand_in import main
sys.exit(main({name!r}, sys.argv[1:]))
"""
QUICK = {"retry_delay_ms": "10"}


class Guest:
    """A Windows guest as far as VSS is concerned."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.system32 = folder / "System32"
        self.system32.mkdir()
        for name in ("diskshadow", "vssadmin"):
            program = self.system32 / f"{name}.exe"
            program.write_text(PROGRAM.format(python=sys.executable, repository=str(REPOSITORY), name=name))
            program.chmod(0o755)
        self.machine = folder / "machine.json"
        monkeypatch.setenv("VSS_STAND_IN", str(self.machine))
        self.folder = folder / "state" / "vss"
        self.set(volumes=["C:", "D:"])
        self.notes: list[str] = []
        tools = Tools(str(self.system32), str(self.folder))
        self.vss = Vss(tools, lambda: ("C:", "D:"), lambda _name: 10 * 1024**3)

    def set(self, **members: Any) -> None:
        self.machine.write_text(json.dumps(members))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.machine.read_text())
        return found

    def create(self, deadline_ms: int = 30_000, **settings: str) -> Any:
        return self.vss.create({**QUICK, **settings}, {}, deadline_ms, self.notes.append)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    return Guest(tmp_path, monkeypatch)


def test_a_set_over_all_volumes_is_made_is_whole_and_is_deleted(guest: Guest) -> None:
    assert guest.vss.preflight({}, {}) == ()

    anchored = guest.create()

    [identity] = guest.state()["sets"]
    assert anchored.identity == "set:" + identity == guest.notes[-1]
    assert anchored.names == ("C:", "D:")
    assert anchored.warnings == ()
    assert guest.vss.whole(anchored)[0]
    assert Path(anchored.detail.rpartition(" ")[2]).read_bytes() == b"MSCF"

    guest.vss.delete(anchored.identity)
    guest.vss.delete(anchored.identity)

    assert guest.state()["sets"] == {}
    assert not guest.vss.whole(anchored)[0]
    assert not list(guest.folder.glob("*.open"))


def test_volumes_and_writers_are_chosen(guest: Guest) -> None:
    guest.set(volumes=["C:", "D:"], writers={"SqlServerWriter": [8, "VSS_WS_FAILED_AT_FREEZE", 0x800423F4],
                                             "System Writer": [1, "VSS_WS_STABLE", 0]})  # fmt: skip
    settings: dict[str, Any] = {
        "volumes": "d:\\",
        "exclude": "SqlServerWriter",
        "verify": "System Writer",
        "backup": "full",
    }

    anchored = guest.create(**settings)

    script = next(guest.folder.glob("*.dsh")).read_text().split("\n")
    lines = [line.strip() for line in script if "metadata" not in line]
    assert lines == [
        "set context persistent",
        'writer verify "System Writer"',
        'writer exclude "SqlServerWriter"',
        "begin backup",
        'add volume "D:" alias stillframe0',
        "create",
        "list writers status",
        "end backup",
        "",
    ]
    assert anchored.names == ("D:",)
    assert anchored.warnings == ("the writer SqlServerWriter was left out, as was ordered",)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("0x8004231f", "diff_area_low"),
        ("0x80042317", "diff_area_low"),
        ("0x800423f2", "writer_retryable"),
        ("0x800423f4", "writer_failed"),
        ("0x800423f0", "writer_failed"),
        ("0x8004230f", "anchor_failed"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(guest: Guest, code: str, reason: str) -> None:
    guest.set(volumes=["C:", "D:"], fault={"create:" + code: 1})

    with pytest.raises(AnchorRefused) as raised:
        guest.create()

    assert raised.value.reason == reason
    assert code[2:].upper() in raised.value.detail
    assert len(guest.state()["calls"]) == 1
    assert not list(guest.folder.glob("*.open"))


@pytest.mark.parametrize("code", ["0x80042313", "0x80042314", "0x80042306", "0x80042316"])
def test_what_is_expected_to_pass_is_tried_three_times(guest: Guest, code: str) -> None:
    guest.set(volumes=["C:", "D:"], fault={"create:" + code: 2})

    assert guest.create().names == ("C:", "D:")

    guest.set(volumes=["C:", "D:"], fault={"create:" + code: 3})
    with pytest.raises(AnchorRefused) as raised:
        guest.create()
    assert raised.value.reason == ("set_in_progress" if code == "0x80042316" else "anchor_failed")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0x800423F2, "writer_retryable"), (0x800423F4, "writer_failed"), (0, "writer_failed")],
)
def test_a_writer_that_did_not_do_its_part_takes_the_set_with_it(
    guest: Guest, code: int, reason: str
) -> None:
    guest.set(volumes=["C:", "D:"], writers={"SqlServerWriter": [8, "VSS_WS_FAILED_AT_FREEZE", code]})

    with pytest.raises(AnchorRefused) as raised:
        guest.create()

    assert raised.value.reason == reason
    assert "SqlServerWriter" in raised.value.detail
    assert guest.state()["sets"] == {}


def test_a_set_without_writers_proves_nothing(guest: Guest) -> None:
    guest.set(volumes=["C:", "D:"], fault={"no writers": 100})

    with pytest.raises(AnchorRefused, match="writers"):
        guest.create()

    assert guest.state()["sets"] == {}


@pytest.mark.parametrize("when", ["hang", "hang after creating"])
def test_a_creation_that_hangs_is_ended_and_nothing_is_left_of_it(guest: Guest, when: str) -> None:
    guest.set(volumes=["C:", "D:"], fault={when: 1})

    with pytest.raises(AnchorRefused) as raised:
        guest.create(deadline_ms=2_000)

    assert raised.value.reason == "timed_out"
    assert guest.state()["sets"] == {}


def test_a_copy_that_windows_dropped_is_missed(guest: Guest) -> None:
    anchored = guest.create()
    state = guest.state()
    next(iter(state["sets"].values())).pop("D:")
    guest.set(**state)

    whole, detail = guest.vss.whole(anchored)

    assert not whole
    assert "D:" in detail


def test_a_set_that_cannot_be_deleted_is_told_of(guest: Guest) -> None:
    anchored = guest.create()
    guest.set(**{**guest.state(), "fault": {"delete": 1}})

    with pytest.raises(AnchorRefused):
        guest.vss.delete(anchored.identity)

    assert list(guest.folder.glob("*.open"))
    guest.vss.delete(anchored.identity)
    assert guest.state()["sets"] == {}


def test_whoever_comes_later_finds_a_set_whose_maker_died_while_it_was_made(guest: Guest) -> None:
    guest.set(volumes=["C:", "D:"], fault={"hang after creating": 1})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from agent.anchors.vss import Vss; from agent.anchors.vss_tools import Tools\n"
        "Vss(Tools(*sys.argv[2:4]), lambda: ('C:', 'D:')).create({}, {}, 60000, print)\n"
    )
    maker = subprocess.Popen(
        [sys.executable, "-uc", code, str(REPOSITORY), str(guest.system32), str(guest.folder)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert maker.stdout is not None
    note = maker.stdout.readline().strip()
    until(lambda: guest.state().get("sets"), "the set")
    transcript = Path(note.partition(":")[2])
    until(lambda: "%VSS_SHADOW_SET%" in transcript.read_text(), "the transcript")
    os.killpg(maker.pid, 9)
    maker.communicate()

    assert note.startswith("transcript:")
    guest.vss.delete(note)

    assert guest.state()["sets"] == {}


def test_a_set_that_a_reboot_left_behind_goes_before_anybody_is_held_for_the_next(guest: Guest) -> None:
    guest.create()

    guest.vss.preflight({}, {})

    assert guest.state()["sets"] == {}


def test_only_what_belongs_to_the_last_creations_is_kept(guest: Guest) -> None:
    for _ in range(10):
        guest.vss.delete(guest.create().identity)

    assert len(list(guest.folder.glob("*.cab"))) == 8


@pytest.mark.parametrize(
    ("state", "reason"), [(2, "set_in_progress"), (3, "set_in_progress"), (4, "set_in_progress")]
)
def test_no_set_is_begun_while_another_is_made(guest: Guest, state: int, reason: str) -> None:
    guest.set(volumes=["C:"], writers={"System Writer": [state, "VSS_WS_STABLE", 0]})

    with pytest.raises(AnchorRefused) as raised:
        guest.vss.preflight({}, {})

    assert raised.value.reason == reason


def test_a_writer_that_failed_before_is_warned_of(guest: Guest) -> None:
    guest.set(volumes=["C:"], writers={"SqlServerWriter": [8, "VSS_WS_STABLE", 0]})

    assert guest.vss.preflight({}, {}) == (
        "the writer SqlServerWriter failed in the last snapshot (state 8)",
    )
    assert guest.vss.preflight({"exclude": "SqlServerWriter"}, {}) == ()


@pytest.mark.parametrize(
    ("room", "wanted", "fits"),
    [
        (["1.93 GB", "2.00 GB"], "320", False),
        (["1,5 GB", "2,0 GB"], "320", True),
        (["0 B", "UNBOUNDED"], "320", True),
        (["0 bytes", "300 MB"], "320", False),
        (["1.024,5 Mo", "1,9 Go"], "320", True),
    ],
)
def test_room_for_differences_is_seen_to(guest: Guest, room: list[str], wanted: str, *, fits: bool) -> None:
    guest.set(volumes=["C:", "D:"], room={"C:": room})

    if fits:
        assert guest.vss.preflight({"least_free_mb": wanted}, {}) == ()
    else:
        with pytest.raises(AnchorRefused) as raised:
            guest.vss.preflight({"least_free_mb": wanted}, {})
        assert raised.value.reason == "diff_area_low"


def test_a_windows_without_diskshadow_has_no_anchor(guest: Guest) -> None:
    (guest.system32 / "diskshadow.exe").unlink()

    with pytest.raises(AnchorRefused) as raised:
        guest.vss.preflight({}, {})

    assert raised.value.reason == "provider_missing"


def test_a_volume_that_is_not_there_is_named(guest: Guest) -> None:
    with pytest.raises(AnchorRefused, match="E:") as raised:
        guest.create(volumes="C:;E:")

    assert raised.value.reason == "no_volume"


@pytest.mark.parametrize(
    "settings",
    [
        {"volumes": 'C:" alias x\r\nexec evil.cmd'},
        {"volumes": "%x%"},
        {"exclude": 'x" "y'},
        {"verify": "a\nb"},
        {"backup": "half"},
        {"tries": "0"},
        {"least_free_mb": "many"},
        {"mood": "good"},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, str]) -> None:
    with pytest.raises(AnchorRefused) as raised:
        vss_settings.read(settings)

    assert raised.value.reason == "bad_setting"
    assert next(iter(settings)) in raised.value.detail


def test_sentences_in_another_language_change_nothing() -> None:
    text = (
        "Der Alias stillframe0 für die Schattenkopie-ID {2f068120-8f43-4a2a-8987-c8058e898188} ...\r\n"
        "\t* Schattenkopie-ID = {2f068120-8f43-4a2a-8987-c8058e898188}\t\t%stillframe0%\r\n"
        "\t\t- Satz: {9ea220e6-a403-43ad-b78b-ba251611c03a}\t%VSS_SHADOW_SET%\r\n"
        "\t\t- Urspr\u00fcngliches Volume: \\\\?\\Volume{66a659a9-0000-0000-0000-602200000000}\\ [C:\\]\r\n"
        "\t\t- Attribute:  No_Auto_Release Persistent Differential\r\n"
    )

    created = vss_text.read_creation(text)

    assert created.identity == "{9ea220e6-a403-43ad-b78b-ba251611c03a}"
    assert created.copies == {0: "{2f068120-8f43-4a2a-8987-c8058e898188}"}
    assert created.volumes == ("C:",)
    assert not created.without_writers
    assert created.codes == ()


def test_a_listing_of_writers_in_another_language_is_read() -> None:
    text = (
        "Verfassername: 'System Writer'\r\n   Verfasserkennung: {e8132975-6f93-4464-a53e-1050253ae220}\r\n"
        "   Instanz: {7e631031-c695-4229-9da1-a7de057e64cb}\r\n   Status: [1] Stabil\r\n   Kein Fehler\r\n"
        "\r\n"
        "Verfassername: 'SqlServerWriter'\r\n   Kennung: {a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}\r\n"
        "   Instanz: {7e631031-c695-4229-9da1-a7de057e64cc}\r\n   Status: [8] Fehlgeschlagen\r\n"
    )

    assert vss_text.read_states(text) == {"System Writer": 1, "SqlServerWriter": 8}
