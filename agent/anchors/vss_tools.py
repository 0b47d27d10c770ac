"""Running diskshadow and vssadmin, and the folder where what belongs to a creation is kept.

Of each creation there are: its script (.dsh), what diskshadow printed (.txt), the writers' metadata (.cab),
and as long as its shadow copies may exist a mark (.open) with their identity.
"""

import os
import subprocess
import time
import uuid
from typing import Dict, List, Mapping, Optional

from agent import config, files
from agent.anchors import AnchorRefused

#: How long a listing or a deletion may take (s); writers may take 45 s to answer one who lists them.
_ANSWER_S = 60.0
#: How long a diskshadow that an earlier agent started is waited for (s).
_LEFT_S = 60.0
_PAUSE_S = 0.05
#: Creations of which something is kept.
_KEPT = 8

_MARK = ".open"
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class Tools:
    """``system32`` has Windows' own programs, ``folder`` is for what belongs to creations."""

    def __init__(self, system32: str, folder: str) -> None:
        self._system32 = system32
        self._folder = folder

    def path(self, program: str) -> str:
        """Give the path of one of Windows' own programs."""
        return os.path.join(self._system32, program)

    def stem(self) -> str:
        """Begin a creation: give the path that its files begin with; what is older than some is removed."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._prune()
        return os.path.join(self._folder, uuid.uuid4().hex)

    def create(self, stem: str, script: str, patience_s: float) -> Optional[int]:
        """Run the script of a creation; None if it had to be ended after ``patience_s``.

        What it prints goes to a file, which outlives this process.

        Raises:
            AnchorRefused: provider_missing.
        """
        _write(stem + ".dsh", script)
        command = [self.path("diskshadow.exe"), "/s", stem + ".dsh"]
        handle = os.open(stem + ".txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | files.BINARY, 0o600)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                creationflags=_NO_WINDOW,
            )
        except OSError as error:
            raise _missing(command[0], error) from None
        finally:
            os.close(handle)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def session(self, script: str) -> str:
        """Run a script that holds nothing up; gives what it printed.

        Raises:
            AnchorRefused: timed_out | provider_missing.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = os.path.join(self._folder, uuid.uuid4().hex + ".tmp")
        _write(path, script)
        try:
            return _answer([self.path("diskshadow.exe"), "/s", path])
        finally:
            os.unlink(path)

    def admin(self, *arguments: str) -> str:
        """Ask vssadmin.

        Raises:
            AnchorRefused: timed_out | provider_missing.
        """
        return _answer([self.path("vssadmin.exe"), *arguments])

    def mark(self, stem: str, identity: str) -> None:
        """Note that shadow copies of this identity may exist."""
        _write(stem + ".new", identity)
        files.replace(stem + ".new", stem + _MARK)

    def unmark(self, identity: str) -> None:
        """Note that there are none of this identity any more."""
        for path, marked in self.marked().items():
            if marked == identity:
                files.remove(path)

    def marked(self) -> Dict[str, str]:
        """Give the identities of which shadow copies may exist, by their marks' paths."""
        found: Dict[str, str] = {}
        if os.path.isdir(self._folder):
            for name in sorted(os.listdir(self._folder)):
                path = os.path.join(self._folder, name)
                try:
                    if name.endswith(_MARK):
                        found[path] = read(path)
                except FileNotFoundError:  # dead-man and next start may both be deleting
                    continue
        return found

    def _prune(self) -> None:
        names = os.listdir(self._folder)
        open_stems = {name[: -len(_MARK)] for name in names if name.endswith(_MARK)}
        times: Dict[str, float] = {}
        for name in names:
            stem = name.partition(".")[0]
            times[stem] = max(times.get(stem, 0.0), os.path.getmtime(os.path.join(self._folder, name)))
        old = sorted(set(times) - open_stems, key=lambda stem: times[stem], reverse=True)[_KEPT - 1 :]
        for name in names:
            if name.partition(".")[0] in old:
                os.unlink(os.path.join(self._folder, name))


def tools_of(environ: Mapping[str, str]) -> Tools:
    """Find them by the environment of the agent."""
    root = environ.get("SYSTEMROOT", "C:\\Windows")
    return Tools(os.path.join(root, "System32"), os.path.join(config.read_settings(environ).state_dir, "vss"))


def left(transcript: str) -> str:
    """Read what a diskshadow of an earlier agent printed, once it has ended; "" if it never began.

    On Windows a file cannot be renamed while somebody prints to it.

    Raises:
        AnchorRefused: anchor_failed: it has not ended.
    """
    if not os.path.exists(transcript):
        return ""
    deadline = time.monotonic() + _LEFT_S
    while True:
        try:
            os.replace(transcript, transcript)  # under its own name: another one may be looking for it
        except PermissionError:
            if time.monotonic() >= deadline:
                raise AnchorRefused("anchor_failed", "diskshadow is still at work.") from None
            time.sleep(_PAUSE_S)
        else:
            return read(transcript)


def read(path: str) -> str:
    """Read what one of the programs printed."""
    with open(path, "rb") as file:
        return _text(file.read())


def last_lines(text: str) -> str:
    """Give the end of what was printed, for people."""
    return " ".join(line.strip() for line in text.splitlines()[-3:] if line.strip())[:300]


def _answer(command: List[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ANSWER_S,
            creationflags=_NO_WINDOW,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AnchorRefused("timed_out", "{} did not answer in {} s.".format(command[0], _ANSWER_S)) from None
    except OSError as error:
        raise _missing(command[0], error) from None
    return _text(done.stdout)


def _missing(program: str, error: OSError) -> AnchorRefused:
    return AnchorRefused("provider_missing", "{}: {}.".format(program, error.strerror or error))


def _write(path: str, text: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(text)


def _text(printed: bytes) -> str:
    if printed[:2] == b"\xff\xfe" or printed[1:2] == b"\0":
        text = printed.decode("utf-16-le", "replace").lstrip("\ufeff")
    else:
        text = printed.decode("oem" if os.name == "nt" else "utf-8", "replace")
    return text.replace("\r", "")  # some programs end a line with two of them when they print to a pipe
