"""Command lines of Windows: each extension's interpreter, and arguments that arrive as they were sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import cmdline
from agent.system import ScriptUnusable

POWERSHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
ENVIRON = {"SYSTEMROOT": "C:\\Windows"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("C:\\s\\pre.exe", 'C:\\s\\pre.exe a "b c"'),
        (
            "C:\\my s\\pre.CMD",
            'C:\\Windows\\System32\\cmd.exe /d /s /v:off /c ""C:\\my s\\pre.CMD" "a" "b c""',
        ),
        ("C:\\s\\pre.bat", 'C:\\Windows\\System32\\cmd.exe /d /s /v:off /c ""C:\\s\\pre.bat" "a" "b c""'),
        (
            "C:\\s\\pre.ps1",
            POWERSHELL + ' -NoProfile -NonInteractive -ExecutionPolicy Bypass -File C:\\s\\pre.ps1 a "b c"',
        ),
        ("C:\\s\\pre.vbs", 'C:\\Windows\\System32\\cscript.exe //Nologo //B C:\\s\\pre.vbs a "b c"'),
        ("C:\\s\\pre.js", 'C:\\Windows\\System32\\cscript.exe //Nologo //B C:\\s\\pre.js a "b c"'),
        ("C:\\s\\pre.wsf", 'C:\\Windows\\System32\\cscript.exe //Nologo //B C:\\s\\pre.wsf a "b c"'),
    ],
)
def test_a_script_is_run_by_its_extension(path: str, line: str) -> None:
    assert cmdline.command(path, ("a", "b c"), ENVIRON) == line


@pytest.mark.parametrize("name", ["pre.sh", "pre", "pre.py", "pre.lnk"])
def test_another_extension_is_refused(name: str) -> None:
    with pytest.raises(ScriptUnusable) as raised:
        cmdline.command("C:\\s\\" + name, (), ENVIRON)

    assert raised.value.reason == "script_not_executable"


@pytest.mark.parametrize("argument", ["%PATH%", 'a" & del x', "a\nb", "a\rb", "!x!", "a\0b"])
def test_a_batch_file_is_given_nothing_that_cmd_would_read_as_its_own(argument: str) -> None:
    with pytest.raises(ScriptUnusable) as raised:
        cmdline.command("C:\\s\\pre.cmd", (argument,), ENVIRON)

    assert raised.value.reason == "script_arguments"


@pytest.mark.parametrize("argument", ["//E:vbscript", 'say "x"'])
def test_the_script_host_is_given_nothing_that_it_would_keep(argument: str) -> None:
    with pytest.raises(ScriptUnusable):
        cmdline.command("C:\\s\\pre.vbs", (argument,), ENVIRON)


def test_a_line_that_is_too_long_is_refused() -> None:
    assert cmdline.command("C:\\s\\pre.exe", ("a" * 30_000,), ENVIRON)
    for path in ("C:\\s\\pre.cmd", "C:\\s\\pre.exe"):
        with pytest.raises(ScriptUnusable) as raised:
            cmdline.command(path, ("a" * 33_000,), ENVIRON)
        assert raised.value.reason == "script_arguments"


@given(st.lists(st.text(st.characters(exclude_characters='"%!\r\n\0', codec="utf-8")), max_size=4))
def test_every_argument_of_a_batch_file_stays_between_its_own_quotation_marks(arguments: list[str]) -> None:
    line = cmdline.command("C:\\s\\pre.cmd", tuple(arguments), ENVIRON)

    assert isinstance(line, str)
    inside = line.partition(' /c "')[2][:-1]
    assert inside.split('"')[1::2] == ["C:\\s\\pre.cmd", *arguments]
