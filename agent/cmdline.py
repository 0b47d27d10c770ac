"""How a script is run on Windows, by its extension, and the command line that says so.

Windows hands a program one line, which the program itself takes apart: most by the rules of Microsoft's C
run-time library (``subprocess.list2cmdline``), but cmd.exe by rules of its own, under which no quoting keeps
a percent sign, a quotation mark or a line break from meaning something. A batch file is given no such thing.
"""

import ntpath
import subprocess
from typing import Mapping, Tuple

from agent.system import Command, ScriptUnusable

#: Extensions that Windows runs as a script, each with its interpreter.
EXTENSIONS = (".exe", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".wsf")

#: What cmd.exe gives a meaning to even between quotation marks, or cannot be given at all.
_NEVER_IN_BATCH = '"%!\r\n\0'
#: The longest line that CreateProcess takes, and the longest that cmd.exe takes (characters).
_LONGEST, _LONGEST_OF_CMD = 32_766, 8_191


def command(path: str, arguments: Tuple[str, ...], environ: Mapping[str, str]) -> Command:
    """Give the command line that runs the script at ``path``.

    Raises:
        ScriptUnusable: the extension is none that can be run, or an argument cannot be handed over safely.
    """
    system32 = ntpath.join(environ.get("SYSTEMROOT", "C:\\Windows"), "System32")
    extension = ntpath.splitext(path)[1].lower()
    if extension in (".bat", ".cmd"):
        line = _batch(ntpath.join(system32, "cmd.exe"), path, arguments)
        return _checked(path, line, _LONGEST_OF_CMD)
    return _checked(path, subprocess.list2cmdline(_program(system32, extension, path, arguments)), _LONGEST)


def _program(system32: str, extension: str, path: str, arguments: Tuple[str, ...]) -> Tuple[str, ...]:
    if extension == ".exe":
        return (path, *arguments)
    if extension == ".ps1":
        powershell = ntpath.join(system32, "WindowsPowerShell", "v1.0", "powershell.exe")
        rules = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File")
        return (powershell, *rules, path, *arguments)
    if extension in (".vbs", ".js", ".wsf"):
        _check_script_host(path, arguments)
        return (ntpath.join(system32, "cscript.exe"), "//Nologo", "//B", path, *arguments)
    detail = "{}: only {} can be run on Windows.".format(path, ", ".join(EXTENSIONS))
    raise ScriptUnusable("script_not_executable", detail)


def _batch(cmd: str, path: str, arguments: Tuple[str, ...]) -> str:
    """Quote for ``cmd /d /s /v:off /c "..."``: /s takes away exactly the outer quotation marks.

    Between quotation marks & | < > ( ) ^ mean nothing. What a backslash before the last one means to a
    program that gets the argument from the batch file is the batch file's own affair.
    """
    for text in (path, *arguments):
        wrong = sorted(set(text) & set(_NEVER_IN_BATCH))
        if wrong:
            detail = "cmd.exe cannot be handed {!r}: it gives a meaning to {}.".format(
                text, " ".join(repr(character) for character in wrong)
            )
            raise ScriptUnusable("script_arguments", detail)
    words = " ".join('"{}"'.format(text) for text in (path, *arguments))
    return '{} /d /s /v:off /c "{}"'.format(subprocess.list2cmdline([cmd]), words)


def _check_script_host(path: str, arguments: Tuple[str, ...]) -> None:
    """Windows Script Host takes what begins with // for its own option, and keeps no quotation mark."""
    for text in arguments:
        if text.startswith("//") or '"' in text:
            detail = (
                '{}: cscript.exe cannot be handed {!r}: // begins an option of its own, " is lost.'.format(
                    path, text
                )
            )
            raise ScriptUnusable("script_arguments", detail)


def _checked(path: str, line: str, longest: int) -> str:
    if "\0" in line or len(line) > longest:
        detail = "{}: its command line has {} characters, at most {} are possible.".format(
            path, len(line), longest
        )
        raise ScriptUnusable("script_arguments", detail)
    return line
