"""The agent's settings, all from its environment."""

import json
import os
from typing import Any, Dict, Mapping, MutableMapping, NamedTuple

BOOTSTRAP = "STILLFRAME_BOOTSTRAP"
STATE_DIR = "STILLFRAME_STATE_DIR"
POLL = "STILLFRAME_POLL_MS"

DEFAULT_STATE_DIR = "/run/stillframe"
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

    ``stay``: it goes on when its session has ended, and waits for the next.
    """

    vm: str
    key: bytes
    command_queue: str
    ack_queue: str
    command: str
    stay: bool


class Settings(NamedTuple):
    """Where the state lies, and how often the queue is asked (ms)."""

    state_dir: str
    armed_poll_ms: int
    idle_poll_ms: int


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
    except ValueError:
        raise BadSetting(BOOTSTRAP, "a JSON object") from None
    if not isinstance(document, dict):
        raise BadSetting(BOOTSTRAP, "a JSON object")
    try:
        key = bytes.fromhex(_text(document, "key"))
    except ValueError:
        raise BadSetting(BOOTSTRAP + ".key", "hexadecimal digits") from None
    command, stay = document.get("command"), document.get("stay", False)
    command = "" if command is None else command
    if not isinstance(command, str):
        raise BadSetting(BOOTSTRAP + ".command", "a signed command")
    if not isinstance(stay, bool):
        raise BadSetting(BOOTSTRAP + ".stay", "true or false")
    queues = _text(document, "command_queue"), _text(document, "ack_queue")
    return Bootstrap(_text(document, "vm"), key, queues[0], queues[1], command, stay)


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
    state_dir = environ.get(STATE_DIR) or DEFAULT_STATE_DIR
    if not os.path.isabs(state_dir):
        raise BadSetting(STATE_DIR, "an absolute path")
    poll = environ.get(POLL) or str(ARMED_POLL_MS)
    if not poll.isdigit() or not 10 <= int(poll) <= 60_000:
        raise BadSetting(POLL, "whole ms from 10 to 60000")
    return Settings(state_dir, int(poll), IDLE_POLL_MS)
