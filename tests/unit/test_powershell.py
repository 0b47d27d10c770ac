"""The PowerShell scripts there are: nothing here can run them, so they are parsed."""

from pathlib import Path

import pytest

from shared.compute.agent_start_windows import SCRIPT as RUN_COMMAND
from tests.unit.powershell import faults

AGENT = Path(__file__).resolve().parents[2] / "agent"
INSTALL = (AGENT / "install.ps1").read_text()
SCRIPTS = {
    "install.ps1": INSTALL,
    "run command": RUN_COMMAND,
    "enrol-windows.ps1": (AGENT.parent / "infra/guests/enrol-windows.ps1").read_text(),
    "vm-application.ps1": (AGENT / "vm-application.ps1").read_text(),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_parses_and_asks_for_nothing_newer_than_5_1(name: str) -> None:
    assert faults(SCRIPTS[name]) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_bracket_that_is_lost_is_missed(name: str) -> None:
    script = SCRIPTS[name]
    places = [i for i, character in enumerate(script) if character in "{}" and script[i - 1] not in "$-"]
    lost = [i for i in places[:: max(1, len(places) // 12)] if not _in_text(script, i)]

    assert lost
    for place in lost:
        assert faults(script[:place] + script[place + 1 :]), script[max(0, place - 60) : place + 1]


@pytest.mark.parametrize(
    "fault",
    [
        "if ($a -eq 1) { 'x'",
        "foreach ($a in 1..3 { $a }",
        "$a = $b ?? 1",
        "Get-Item x && Get-Item y",
        "$a = $true ? 1 : 2",
        "$a?.Length",
        "ls | % { $_ }",
        "rm -Recurse x",
        "function f( { }",
        "'open",
    ],
)
def test_a_planted_fault_is_found(fault: str) -> None:
    assert faults(fault)


def test_the_installer_repeats_no_secret_and_pins_what_it_unpacks() -> None:
    assert "STILLFRAME_BOOTSTRAP)" in INSTALL, "it is looked at, and the agent takes it by itself"
    assert INSTALL.count("STILLFRAME_BOOTSTRAP") == 3
    assert INSTALL.index("Assert-Hash -Path $PythonZip") < INSTALL.index("\nInstall-Python\n")
    assert INSTALL.index("Assert-Hash -Path $Agent") < INSTALL.index(
        "Invoke-Checked $python @($Agent, 'place'"
    )


def _in_text(script: str, place: int) -> bool:
    line = script[script.rfind("\n", 0, place) + 1 : script.find("\n", place)]
    return "'" in line or '"' in line or line.lstrip().startswith("#")
