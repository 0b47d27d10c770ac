"""The agent's small interface to the operating system: ``linux.py`` and ``windows.py`` are the two."""

import abc
import getpass
import subprocess  # noqa: TC003 - nothing is won by hiding it from the run time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from agent.records import NotHeld, ScriptUser


class Clock(NamedTuple):
    """Time, as functions that give ms: ``monotonic`` is the same for all processes of one boot."""

    monotonic: Callable[[], int]
    wall: Callable[[], int]


#: How a process is started: its arguments, or on Windows the line that they make.
Command = Union[str, List[str]]


class MountChoice(NamedTuple):
    """The mount points to freeze, in the order of freezing, and what goes on writing."""

    chosen: Tuple[str, ...]
    not_held: Tuple[NotHeld, ...]


class MountUnusable(Exception):
    """A mount that the guest's administrator named cannot be frozen: ``path`` and the reason in words."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__("{}: {}".format(path, detail))
        self.path = path
        self.detail = detail


class FreezeRefused(Exception):
    """A filesystem was not frozen. ``reason``: already_frozen | not_supported | freeze_error."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class ThawFailed(Exception):
    """A filesystem could not be thawed, though it may be frozen."""


class System(abc.ABC):
    """What the agent asks of the operating system."""

    #: As told in the `ready` ack.
    name = ""

    @abc.abstractmethod
    def monotonic_ms(self) -> int:
        """Give the time since some moment before, the same moment for all processes of this boot (ms)."""

    @abc.abstractmethod
    def on_stop(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when this process is asked to end; in a signal handler or another thread."""

    @abc.abstractmethod
    def detach(self, command: Tuple[str, ...], environ: Mapping[str, str]) -> bool:
        """Become a daemon, or start one with ``command``. False in the process that is to end."""

    @abc.abstractmethod
    def apart(self) -> Dict[str, Any]:
        """Give the arguments of ``Popen`` by which a child outlives this process and its terminal."""

    @abc.abstractmethod
    def boot_id(self) -> str:
        """Give what changes with every boot of the guest."""

    @abc.abstractmethod
    def choose_mounts(self, environ: Mapping[str, str], state_dir: str) -> MountChoice:
        """Choose what to freeze, by the administrator's settings in ``environ`` or by rule.

        Never chosen: the filesystem under ``state_dir``.

        Raises:
            MountUnusable: a mount that was named in the settings cannot be frozen.
        """

    @abc.abstractmethod
    def open_mount(self, path: str) -> int:
        """Open a mount point, for ``freeze`` and ``thaw``.

        Raises:
            OSError: it cannot be opened.
        """

    @abc.abstractmethod
    def close_mount(self, mount: int) -> None:
        """Close what ``open_mount`` opened; a freeze stays."""

    @abc.abstractmethod
    def freeze(self, mount: int) -> None:
        """Freeze the filesystem; may block for as long as the filesystem below it is frozen.

        Raises:
            FreezeRefused: it is not frozen, or by somebody else.
        """

    @abc.abstractmethod
    def thaw(self, mount: int) -> bool:
        """Thaw the filesystem. True: it was frozen until this moment; False: it was not.

        Raises:
            ThawFailed: it may still be frozen.
        """

    def tidy(self) -> None:  # noqa: B027 - most anchors end with the boot, or are found by the next agent
        """Delete the anchors that outlived a reboot; no agent is at work.

        Raises:
            AnchorRefused: one of them is still there.
        """

    @abc.abstractmethod
    def lock_memory(self) -> bool:
        """Keep this process from being swapped out; False where the system refuses."""

    @abc.abstractmethod
    def script_command(self, path: str, arguments: Tuple[str, ...]) -> Command:
        """Say how to run the script at ``path``.

        Raises:
            ScriptUnusable: it must not be run, or cannot be.
        """

    def delivered_command(self, path: str, arguments: Tuple[str, ...]) -> Command:
        """Say how to run a script that was delivered and lies in the agent's own folder.

        Raises:
            ScriptUnusable: it cannot be run.
        """
        return self.script_command(path, arguments)

    @abc.abstractmethod
    def start_script(
        self,
        command: Command,
        environ: Mapping[str, str],
        marks: Mapping[str, str],
        *,
        user: Optional[ScriptUser],
        lent: str,
        stderr_apart: bool,
    ) -> "subprocess.Popen[bytes]":
        """Start a script so that ``kill_tree`` finds all of it: no input, its output in a pipe.

        ``user``: as whom, None for the agent's own. ``lent``: a file of the command that ``lend`` made
        readable for that user, "" for none. ``stderr_apart``: stderr gets a pipe of its own.

        Raises:
            OSError: it cannot be started.
        """

    def own_user(self) -> str:
        """Give the name of the user as whom the agent runs, and a script that names none."""
        return getpass.getuser()

    def as_user(self, name: str) -> ScriptUser:
        """Find the user as whom a script is to run.

        Raises:
            ScriptUnusable: run_as_unknown | run_as_refused.
        """
        raise ScriptUnusable("run_as_refused", "On this system no script can be run as {}.".format(name))

    def lend(self, path: str, user: Optional[ScriptUser]) -> None:  # noqa: B027 - needed with users only
        """Let ``user`` read a file of the agent's folder in ``start_script``, and nobody else."""

    @abc.abstractmethod
    def script_over(self, process: "subprocess.Popen[bytes]") -> None:
        """Let go of a script that has ended, or was killed; what it left running on purpose goes on."""

    @abc.abstractmethod
    def kill_tree(self, leader: Optional[int], marks: Mapping[str, str]) -> bool:
        """Kill the processes of a script; False if some are still there after a bounded time.

        They are those of the group, the session and the family of ``leader``, and all whose environment
        carries ``marks``.
        """

    def bind(self, marks: Mapping[str, str]) -> None:  # noqa: B027 - where the environment says it all
        """Have ``kill_tree`` find this process and all that it starts by ``marks``, those of its environment.

        Raises:
            OSError: the system refuses.
        """

    @abc.abstractmethod
    def identity(self, pid: int) -> str:
        """Name a living process so that no later one of the same pid is taken for it; "" if it is gone."""

    @abc.abstractmethod
    def try_lock(self, path: str) -> Optional[int]:
        """Take the lock file ``path`` for as long as the descriptor is open; None if another has it."""


class ScriptUnusable(Exception):
    """A script is not run.

    ``reason``: script_missing | script_not_executable | script_unsafe | script_path | script_outside |
    script_not_allowed | script_arguments | script_hash_mismatch | script_unreachable | script_gone |
    script_too_large | run_as_unknown | run_as_refused | run_as_not_allowed | bad_guest_config.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
