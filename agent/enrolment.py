r"""What a resident agent is given once, at its installation: who it is, its key and its queues.

A bootstrap without a command, in a file that only root reads: ``/etc/stillframe/enrolment.json``; on Windows
``%ProgramData%\Stillframe\enrolment.json``. A run command of the app that brings newer ones (another version
of the key, another SAS) replaces it.
"""

import json
import logging
import os
import stat
import sys
from typing import Callable, Mapping

from agent import files, guest_files, private
from agent.config import MANAGED_IDENTITY, SAS, BadSetting, Bootstrap, read_bootstrap

SETTING = "STILLFRAME_ENROLMENT"

_log = logging.getLogger("stillframe")


def path_of(environ: Mapping[str, str]) -> str:
    """Say where the file lies."""
    return guest_files.path_of(environ, SETTING, "enrolment.json")


def load(environ: Mapping[str, str]) -> Bootstrap:
    """Read the enrolment, as the bootstrap of an agent that stays.

    Raises:
        BadSetting: there is none, others than its owner can read or write it, or a member is wrong.
    """
    path = path_of(environ)
    text = guest_files.read(path, _wrong)
    if text is None:
        raise BadSetting(path, "an enrolment: install the agent with its bootstrap")
    return read_bootstrap(text)._replace(command="", stay=True)


def save(environ: Mapping[str, str], bootstrap: Bootstrap) -> str:
    """Replace the enrolment as a whole; returns its path.

    Raises:
        OSError: it cannot be written.
    """
    path = path_of(environ)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    document = dict(bootstrap.lasting()._asdict(), key=bootstrap.key.hex())
    fresh = path + ".new"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    files.replace(fresh, path)
    return path


class Residence:
    """What makes an agent resident: its enrolment, and whether another version was installed since."""

    def __init__(self, environ: Mapping[str, str], superseded: Callable[[], bool]) -> None:
        self._environ = environ
        self.superseded = superseded

    def adopt(self, own: Bootstrap, brought: Bootstrap) -> Bootstrap:
        """Give what the agent goes on with, after a run command brought a bootstrap for its next session.

        What is newer is kept for its next start too. One that has the VM's identity stays with it: what the
        app brings for a single session expires. Called while nothing is held, as it writes to the disk.
        """
        kept = brought._replace(stay=True)
        if own.credential == MANAGED_IDENTITY and brought.credential == SAS:
            kept = own._replace(
                command=brought.command, key=brought.key, key_version=brought.key_version, stay=True
            )
        if kept.lasting() == own.lasting():
            return kept
        try:
            path = save(self._environ, kept)
        except OSError as error:
            _log.warning("the enrolment could not be replaced: %s", error)
        else:
            _log.info("%s is new: key version %d, %s", path, kept.key_version, kept.credential)
        return kept


def _wrong(path: str, found: os.stat_result) -> str:
    """Refuse a file whose key others know or could have set; who reads it on Windows, its folder says."""
    wrong = private.file(path, found)
    if not wrong and sys.platform != "win32" and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        wrong = "others may read it"
    return "a file of root that nobody else may read or write (chmod 600): {}".format(wrong) if wrong else ""
