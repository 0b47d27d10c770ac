r"""The files in the guest that the agent goes by: in ``/etc/stillframe``, or ``%ProgramData%\Stillframe``."""

import os
from typing import Callable, Mapping, Optional

from agent.config import BadSetting

FOLDER = "/etc/stillframe"


def path_of(environ: Mapping[str, str], setting: str, name: str) -> str:
    """Say where the file called ``name`` lies, unless ``setting`` in the environment says so."""
    if environ.get(setting):
        return environ[setting]
    if os.name == "nt":
        return os.path.join(environ.get("PROGRAMDATA", "C:\\ProgramData"), "Stillframe", name)
    return FOLDER + "/" + name


def read(path: str, wrong: Callable[[str, os.stat_result], str]) -> Optional[str]:
    """Read a file as a whole; None if there is none. ``wrong`` says of what was opened why it is refused.

    Raises:
        BadSetting: it is refused, or cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # Notepad begins a file with a mark
            reason = wrong(path, os.fstat(file.fileno()))
            if reason:
                raise BadSetting(path, reason)
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadSetting(path, "a file that can be read ({})".format(error.strerror)) from None
    except UnicodeDecodeError:
        raise BadSetting(path, "a file that can be read (it is not UTF-8)") from None
