r"""What the guest's administrator allows scripts to do: section ``[scripts]`` of the guest's own file.

    [scripts]
    folders = /etc/stillframe/scripts:/opt/app/hooks    where scripts named by a path may lie
    delivered = yes                                     whether the app may send scripts of its own
    run_as_allowed = root, postgres                     as whom scripts may run; without it, as anybody

Folders are separated as in PATH; on Windows the default is ``%ProgramData%\Stillframe\scripts``.
"""

import os
import re
from typing import Mapping, NamedTuple, Optional, Tuple

from agent import guest_config
from agent.config import BadSetting

SECTION = "scripts"
DEFAULT_FOLDER = "/etc/stillframe/scripts"

_OPTIONS = ("folders", "delivered", "run_as_allowed")
_YES_NO = {"yes": True, "no": False}


class ScriptRules(NamedTuple):
    """Folders (with all links resolved), whether scripts may be delivered, and as whom they may run.

    ``run_as_allowed`` is None where anybody is allowed.
    """

    folders: Tuple[str, ...]
    delivered: bool
    run_as_allowed: Optional[Tuple[str, ...]]

    def covers(self, path: str) -> bool:
        """Say whether ``path``, with all links resolved, lies in one of the folders."""
        inside = os.path.normcase(path)
        return any(inside.startswith(os.path.join(os.path.normcase(f), "")) for f in self.folders)

    def allows_user(self, name: str) -> bool:
        """Say whether scripts may run as this user."""
        return self.run_as_allowed is None or name in self.run_as_allowed


def load(environ: Mapping[str, str]) -> ScriptRules:
    """Read the rules from the guest's own file.

    Raises:
        BadSetting: the file or an option of the section is wrong.
    """
    options = guest_config.load(environ).get(SECTION, {})
    for name in options:
        if name not in _OPTIONS:
            raise BadSetting(_at(name), "one of the options " + ", ".join(_OPTIONS))
    delivered = options.get("delivered", "yes").strip().lower()
    if delivered not in _YES_NO:
        raise BadSetting(_at("delivered"), "yes or no")
    users = None
    if "run_as_allowed" in options:
        users = tuple(name for name in re.split(r"[,\s]+", options["run_as_allowed"]) if name)
    return ScriptRules(_folders(options, environ), _YES_NO[delivered], users)


def _folders(options: Mapping[str, str], environ: Mapping[str, str]) -> Tuple[str, ...]:
    if "folders" not in options:
        return (os.path.realpath(_default_folder(environ)),)
    found = [folder.strip() for folder in options["folders"].split(os.pathsep) if folder.strip()]
    for folder in found:
        if not os.path.isabs(folder):
            raise BadSetting(_at("folders"), "absolute paths, separated by {}".format(os.pathsep))
    return tuple(os.path.realpath(folder) for folder in found)


def _default_folder(environ: Mapping[str, str]) -> str:
    if os.name == "nt":
        return os.path.join(environ.get("PROGRAMDATA", "C:\\ProgramData"), "Stillframe", "scripts")
    return DEFAULT_FOLDER


def _at(name: str) -> str:
    return "[{}] {}".format(SECTION, name)
