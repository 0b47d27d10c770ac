"""The agent's settings, all from its environment."""

import json
import os
import re
import urllib.parse
from typing import Any, Dict, Mapping, MutableMapping, NamedTuple

BOOTSTRAP = "STILLFRAME_BOOTSTRAP"
STATE_DIR = "STILLFRAME_STATE_DIR"
POLL = "STILLFRAME_POLL_MS"
IMDS = "STILLFRAME_IMDS"

DEFAULT_STATE_DIR = "/run/stillframe"
#: Azure's instance metadata service, which every VM reaches at this address and nobody else does.
DEFAULT_IMDS = "http://169.254.169.254"

#: How the agent shows its queues who it is: by what their URLs carry, or by the VM's managed identity.
SAS, MANAGED_IDENTITY = "sas", "managed_identity"
#: Under %ProgramData%.
DEFAULT_STATE_DIR_ON_WINDOWS = "Stillframe\\state"
#: Pause between two looks at the command queue (ms): while a session is armed, and while none is.
ARMED_POLL_MS = 250
#: While an application is held, every wait for the order to resume lengthens the freeze window.
HELD_POLL_MS = 50
IDLE_POLL_MS = 5_000


class BadSetting(Exception):
    """A setting is missing or wrong: ``name`` says which, ``expected`` what would be right."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__("{}: expected {}".format(name, expected))
        self.name = name
        self.expected = expected


class Bootstrap(NamedTuple):
    """What a start of the agent is given: who it is, its key, its two queues, perhaps its first command.

    ``stay``: it goes on when its session has ended, and waits for the next. ``client_id`` names the managed
    identity where the VM has several.
    """

    vm: str
    key: bytes
    command_queue: str
    ack_queue: str
    command: str = ""
    stay: bool = False
    key_version: int = 1
    credential: str = SAS
    client_id: str = ""

    def lasting(self) -> "Bootstrap":
        """Give what holds beyond this start: who the agent is, its key and its queues."""
        return self._replace(command="", stay=False)


class Settings(NamedTuple):
    """Where the state lies, how often the queue is asked (ms), and where the VM's identity is."""

    state_dir: str
    armed_poll_ms: int
    idle_poll_ms: int
    imds: str


def take_bootstrap(environ: MutableMapping[str, str]) -> str:
    """Take the bootstrap's text out of the environment, so that nothing that is started inherits it.

    Raises:
        BadSetting: there is none.
    """
    text = environ.pop(BOOTSTRAP, "")
    if not text:
        raise BadSetting(BOOTSTRAP, "a JSON object")
    return text


def read_bootstrap(text: str) -> Bootstrap:
    """Read a bootstrap.

    Raises:
        BadSetting: a member is missing or wrong. Its value is not repeated: it may be a secret.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadSetting(BOOTSTRAP, "a JSON object") from None
    if not isinstance(document, dict):
        raise BadSetting(BOOTSTRAP, "a JSON object")
    try:
        key = bytes.fromhex(_text(document, "key"))
    except ValueError:
        raise BadSetting(BOOTSTRAP + ".key", "hexadecimal digits") from None
    return Bootstrap(
        vm=_text(document, "vm"),
        key=key,
        command_queue=_url(document, "command_queue"),
        ack_queue=_url(document, "ack_queue"),
        command=_optional(document, "command", default="", expected="a signed command"),
        stay=_optional(document, "stay", default=False, expected="true or false"),
        key_version=_optional(document, "key_version", default=1, expected="a whole number"),
        credential=_credential(document),
        client_id=_optional(document, "client_id", default="", expected="an identity's client id"),
    )


def _credential(document: Dict[str, Any]) -> str:
    value = document.get("credential", SAS)
    if value not in (SAS, MANAGED_IDENTITY):
        raise BadSetting(BOOTSTRAP + ".credential", "{} or {}".format(SAS, MANAGED_IDENTITY))
    return str(value)


def _optional(document: Dict[str, Any], name: str, *, default: Any, expected: str) -> Any:
    """Read a member that may be missing or null, of the very type of its default."""
    value = document.get(name)
    if value is None:
        return default
    if type(value) is not type(default):
        raise BadSetting(BOOTSTRAP + "." + name, expected)
    return value


def _url(document: Dict[str, Any], name: str) -> str:
    """Read a URL; one with a blank or a control character would be repeated by errors, its SAS included."""
    value = _text(document, name)
    if not re.match(r"https?://[!-~]+\Z", value) or not _has_an_address(value):
        raise BadSetting(BOOTSTRAP + "." + name, "the URL of a queue")
    return value


def _has_an_address(url: str) -> bool:
    """Whether a host and a port can be made out: nothing else tells before they are used."""
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _text(document: Dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise BadSetting(BOOTSTRAP + "." + name, "a text")
    return value


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings that have defaults.

    Raises:
        BadSetting: one is set and wrong.
    """
    state_dir = environ.get(STATE_DIR) or _default_state_dir(environ)
    if not os.path.isabs(state_dir):
        raise BadSetting(STATE_DIR, "an absolute path")
    poll = environ.get(POLL) or str(ARMED_POLL_MS)
    if not poll.isdigit() or not 10 <= int(poll) <= 60_000:
        raise BadSetting(POLL, "whole ms from 10 to 60000")
    imds = environ.get(IMDS) or DEFAULT_IMDS
    if not re.match(r"http://[!-~]+\Z", imds):
        raise BadSetting(IMDS, "an http URL")
    return Settings(state_dir, int(poll), IDLE_POLL_MS, imds.rstrip("/"))


def _default_state_dir(environ: Mapping[str, str]) -> str:
    if os.name == "nt":
        return os.path.join(environ.get("PROGRAMDATA", "C:\\ProgramData"), DEFAULT_STATE_DIR_ON_WINDOWS)
    return DEFAULT_STATE_DIR
