"""Whether a file or folder can only be changed by the agent's user and the machine's administrators.

By owner and mode on Linux, by owner and access list on Windows. Each function gives "" or, in words that
follow a path, what is wrong.
"""

import os
import stat
import sys

if sys.platform == "win32":
    from agent import acls, win32

    def file(path: str, found: os.stat_result) -> str:  # noqa: ARG001 - the mode says nothing on Windows
        """See whether others may change the content of a file."""
        return _wrong(path, acls.CHANGES_FILE)

    def folder(path: str) -> str:
        """See whether others may add, replace or remove what is in a folder."""
        if not os.path.isdir(path):
            return "not a folder"
        return _wrong(path, acls.CHANGES_FOLDER)

    def _wrong(path: str, mask: int) -> str:
        try:
            found = acls.writers(win32.security_of(path), mask, win32.own_sid())
        except acls.Unreadable as error:
            return "its access list is not understood ({})".format(error)
        except OSError as error:
            return "its access list cannot be read ({})".format(error.strerror)
        return "; ".join("{} {}".format(w.who, w.how) for w in found)

else:

    def file(path: str, found: os.stat_result) -> str:  # noqa: ARG001 - an open file may have lost its name
        """See whether others may change the content of a file, by its ``stat``."""
        if found.st_uid not in (0, os.geteuid()):
            return "belongs to user {}".format(found.st_uid)
        return "others may write to it" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""

    def folder(path: str) -> str:
        """See whether others may add, replace or remove what is in a folder of the agent's own."""
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return "not a folder of user {}".format(os.geteuid())
        return "others may write to it" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
