"""The guest's own `/` frozen: its Python, its agent, its scripts and its libraries all lie on that disk."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.app_side import KEY, VM, App, hook, runs, script, until
from tests.integration.agent.box import Box, eventually_written

pytestmark = pytest.mark.world

#: Debian's own Python: its library and modules are in one folder each, so that they can be copied.
PYTHON = Path("/usr/bin/python3")
#: Of the standard library, what is large and never imported here.
LEFT_OUT = ("test", "idlelib", "ensurepip", "tkinter", "lib2to3", "dist-packages", "config-*", "__pycache__")


class Root:
    """A box whose agent has a loop device's filesystem as its `/`."""

    def __init__(self, box: Box, pyz: str) -> None:
        self.box = box
        self.point = box.disk("root", megabytes=160)
        self.inside = box.inside(self.point)
        library = Path("/usr/lib") / PYTHON.resolve().name
        ignore = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(library, self.inside / library.relative_to("/"), ignore=ignore)
        programs = [PYTHON.resolve(), Path("/bin/sh").resolve(), *library.glob("lib-dynload/*.so")]
        for program in programs:
            self._copy(program)
        (self.inside / "bin").mkdir()
        (self.inside / "bin/sh").symlink_to(Path("/bin/sh").resolve())
        for folder in ("proc", "dev", "run", "etc/stillframe", "hooks"):
            (self.inside / folder).mkdir(parents=True)
        shutil.copy(pyz, self.inside / "agent.pyz")
        box.run("mount", "-t", "proc", "proc", str(self.point / "proc"))
        box.run("mount", "--bind", "/dev", str(self.point / "dev"))
        box.run("mount", "-t", "tmpfs", "-o", "mode=700", "none", str(self.point / "run"))
        settings = self.inside / "etc/stillframe/agent.conf"
        settings.write_text("[scripts]\nfolders = /hooks\n")
        settings.chmod(0o600)

    def _copy(self, program: Path) -> None:
        """Copy a program, or module, with the libraries that it is linked to."""
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        words = [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
        for path in [program, *map(Path, words)]:
            target = self.inside / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(path, target)

    def agent(self, app: App, command: str = "") -> None:
        bootstrap = {
            "vm": VM,
            "key": KEY.hex(),
            "command_queue": app.queues.url("commands"),
            "ack_queue": app.queues.url("acks"),
            "command": command or app.arm(),
            "stay": False,
        }
        environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "STILLFRAME_BOOTSTRAP": json.dumps(bootstrap),
            "STILLFRAME_STATE_DIR": "/run/stillframe",
            "STILLFRAME_POLL_MS": "50",
        }
        started = ("chroot", str(self.point), str(PYTHON.resolve()), "/agent.pyz", "run")
        self.box.enter(*started, environ=environ)

    def processes(self, verb: str) -> list[int]:
        """Find the agent's processes; their root is the disk."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                same = verb.encode() in words and (entry / "root").readlink() == self.point
            except OSError:
                continue
            found += [int(entry.name)] if b"/agent.pyz" in words and same else []
        return found

    def hooks(self) -> dict[str, Any]:
        names = {}
        for name in ("pre", "post"):
            path = Path(hook(self.inside / "hooks", name))
            path.write_text(path.read_text().replace(str(self.inside), ""))
            names[f"{name}_script"] = script(f"/hooks/{name}")
        return names

    def runs(self, name: str) -> list[str]:
        return runs(self.inside / "hooks", name)


@pytest.fixture
def root(box: Box, pyz: str) -> Root:
    if not PYTHON.exists() or not (Path("/usr/lib") / PYTHON.resolve().name).is_dir():
        pytest.skip("needs Debian's own Python: apt-get install python3")
    return Root(box, pyz)


def freeze(root: Root, app: App) -> None:
    root.agent(app)
    app.quiesce(freeze_budget_ms=300_000, **root.hooks())
    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body
    assert {"kind": "filesystem", "name": "/", "mode": ""} in app.held(quiesced)
    assert not root.box.can_write(root.point)


def test_the_root_is_held_until_the_order_and_the_agent_answers(root: Root, app: App) -> None:
    freeze(root, app)

    app.resume()
    resumed = app.answer()

    assert resumed.body["held_until_order"], resumed.body
    assert root.runs("pre") == root.runs("post") == ["1"]
    eventually_written(root.box, root.point)


def test_the_agents_death_while_the_root_is_frozen_thaws_it(root: Root, app: App) -> None:
    freeze(root, app)

    root.box.kill(root.processes("run"))

    eventually_written(root.box, root.point)
    until(lambda: root.runs("post") == ["1"], "the post-script")


def test_the_dead_mans_death_while_the_root_is_frozen_is_answered_by_the_agent(root: Root, app: App) -> None:
    freeze(root, app)

    root.box.kill(root.processes("dead-man"))
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("agent", False)
    eventually_written(root.box, root.point)


def test_a_start_of_the_agent_is_possible_while_the_root_is_frozen_and_thaws_it(root: Root, app: App) -> None:
    freeze(root, app)
    both = root.processes("run") + root.processes("dead-man")
    for pid in both:
        os.kill(pid, 19)
    root.box.kill(both)
    until(lambda: not root.processes("run") and not root.processes("dead-man"), "their end")
    assert not root.box.can_write(root.point)

    root.agent(app, command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("restart", False)
    eventually_written(root.box, root.point)
