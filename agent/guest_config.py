r"""What the guest's own administrator settles: a file in the guest that no command of the app can change.

An INI file (``configparser``, no interpolation), by default ``/etc/stillframe/agent.conf``; on Windows
``%ProgramData%\Stillframe\agent.conf``. Sections: ``[scripts]`` says where scripts may lie, and each
application handler has one of its own name (``[postgresql]``: where its server is, who may connect, and which
file in the guest holds the credentials). A guest without the file has the defaults.
"""

import configparser
import os
from typing import Dict, Mapping

from agent import guest_files, private
from agent.config import BadSetting

SETTING = "STILLFRAME_CONFIG"

#: Section -> option -> value, all texts.
Sections = Dict[str, Dict[str, str]]


def path_of(environ: Mapping[str, str]) -> str:
    """Say where the file lies."""
    return guest_files.path_of(environ, SETTING, "agent.conf")


def load(environ: Mapping[str, str]) -> Sections:
    """Read the file; {} where there is none.

    Raises:
        BadSetting: it cannot be read, is no INI file, or others than its owner could have written it.
    """
    path = path_of(environ)
    text = guest_files.read(path, _wrong)
    if text is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        first = str(error).partition("\n")[0]
        raise BadSetting(path, "sections with name = value lines ({})".format(first)) from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _wrong(path: str, found: os.stat_result) -> str:
    """Refuse a file that others may write: it decides what runs as root."""
    wrong = private.file(path, found)
    return "a file of root that nobody else may write: {}".format(wrong) if wrong else ""
