"""Scripts are found, allowed, fetched and pinned before anything is held; run as whom their rules say."""

import hashlib
import http.server
import os
import pwd
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from agent import fetching, processes, scripts, staging
from agent.journal import Journal, generation_name
from agent.linux import Linux
from agent.orders import Quiesce, ScriptSpec
from agent.records import ScriptResult
from agent.staging import Prepared, Staging
from agent.system import Clock, ScriptUnusable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the Linux side of the agent")

CLOCK = Clock(lambda: int(time.monotonic() * 1000), lambda: int(time.time() * 1000))
SYSTEM = Linux()
HELLO = '#!/bin/sh\necho "hello $1"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hooks").mkdir(mode=0o755)
    return tmp_path / "hooks"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "state"))


class Guest:
    """A guest whose administrator has settled something."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.journal = journal
        self.config = folder.parent / "agent.conf"
        self.settle(f"folders = {folder}")

    def settle(self, *options: str) -> None:
        self.config.write_text("\n".join(["[scripts]", *options, ""]))
        self.config.chmod(0o600)

    def stage(self, pre: ScriptSpec | None, post: ScriptSpec | None = None, timeout_ms: int = 20_000) -> None:
        environ = {"STILLFRAME_CONFIG": str(self.config)}
        stage = Staging(self.journal, SYSTEM, CLOCK, environ, lambda: False)
        stage.stage("saga", 1, Quiesce(timeout_ms, 30_000, pre, post, "none"))

    def prepared(self) -> Prepared:
        found = staging.load(self.journal, "saga", 1, "pre")
        assert found is not None
        return found

    def refusal(self, spec: ScriptSpec) -> ScriptUnusable:
        staging.forget(self.journal, "saga", 1)
        with pytest.raises(ScriptUnusable) as refused:
            self.stage(spec)
        assert not list(Path(self.journal.path).glob("script-*.json")), "kept all the same"
        return refused.value

    def run(self, spec: ScriptSpec) -> ScriptResult:
        self.stage(spec)
        marks = scripts.marks(f"staged-{os.getpid()}", 1, "pre")
        execution = scripts.Execution(SYSTEM, CLOCK, self.prepared(), marks)
        return execution.run(dict(os.environ), spec.total_ms, starting=lambda: None)


@pytest.fixture
def guest(journal: Journal, folder: Path) -> Guest:
    return Guest(journal, folder)


def write(folder: Path, name: str = "pre.sh", text: str = HELLO, mode: int = 0o755) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def delivered(text: str, name: str = "pre.sh", **rules: Any) -> ScriptSpec:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ScriptSpec("", ("there",), 20_000, content=text, sha256=digest, name=name)._replace(**rules)


# --- scripts that lie in the guest ------------------------------------------------------


def test_a_script_in_an_allowed_folder_is_run(guest: Guest, folder: Path) -> None:
    assert guest.run(ScriptSpec(write(folder), ("you",), 20_000)).output == "hello you\n"


def test_a_script_below_an_allowed_folder_is_too(guest: Guest, folder: Path) -> None:
    (folder / "db").mkdir()

    assert guest.run(ScriptSpec(write(folder / "db"), ("you",), 20_000)).exit_code == 0


def test_a_script_elsewhere_is_refused(guest: Guest, folder: Path) -> None:
    assert guest.refusal(ScriptSpec(write(folder.parent), (), 1_000)).reason == "script_outside"


def test_a_folder_whose_name_only_begins_like_an_allowed_one_is_not_allowed(
    guest: Guest, folder: Path
) -> None:
    other = folder.parent / "hooks-not"
    other.mkdir()

    assert guest.refusal(ScriptSpec(write(other), (), 1_000)).reason == "script_outside"


def test_a_way_out_of_the_folder_is_refused_by_dots_and_by_links(guest: Guest, folder: Path) -> None:
    outside = write(folder.parent, "outside.sh")
    (folder / "link.sh").symlink_to(outside)

    for path in (f"{folder}/../outside.sh", f"{folder}/link.sh"):
        assert guest.refusal(ScriptSpec(path, (), 1_000)).reason == "script_outside"


def test_a_link_inside_is_resolved_when_the_script_is_made_ready(guest: Guest, folder: Path) -> None:
    (folder / "current").symlink_to(write(folder))

    guest.stage(ScriptSpec(str(folder / "current"), (), 1_000))

    assert guest.prepared().path == str(folder / "pre.sh")


def test_a_guest_without_settings_allows_its_own_folder_only(journal: Journal, folder: Path) -> None:
    guest = Guest(journal, folder)
    guest.config.unlink()

    refused = guest.refusal(ScriptSpec(write(folder), (), 1_000))

    assert (refused.reason, "/etc/stillframe/scripts" in refused.detail) == ("script_outside", True)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(None, "script_missing"), (0o757, "script_unsafe"), (0o644, "script_not_executable")],
)
def test_a_script_that_must_not_run_is_refused_before_anything_is_held(
    guest: Guest, folder: Path, mode: int | None, reason: str
) -> None:
    path = str(folder / "pre") if mode is None else write(folder, "pre", mode=mode)

    assert guest.refusal(ScriptSpec(path, (), 1_000)).reason == reason


def test_a_post_script_that_cannot_run_is_refused_before_anything_is_held(guest: Guest, folder: Path) -> None:
    with pytest.raises(ScriptUnusable) as refused:
        guest.stage(ScriptSpec(write(folder), (), 1_000), ScriptSpec(str(folder / "no"), (), 1_000))

    assert refused.value.reason == "script_missing"


def test_a_relative_path_is_refused(guest: Guest) -> None:
    assert guest.refusal(ScriptSpec("pre.sh", (), 1_000)).reason == "script_path"


def test_a_missing_script_may_be_missing_where_its_rules_say_so(guest: Guest, folder: Path) -> None:
    result = guest.run(ScriptSpec(str(folder / "none"), (), 1_000, ignore_missing=True))

    assert (result.started, result.reason, [w.code for w in result.warnings]) == (False, "", ["missing"])


def test_settings_that_make_no_sense_refuse_every_script(guest: Guest, folder: Path) -> None:
    guest.settle("folders = hooks")
    assert guest.refusal(ScriptSpec(write(folder), (), 1_000)).reason == "bad_guest_config"
    guest.settle("folder = /x")
    assert "folder" in guest.refusal(ScriptSpec(write(folder), (), 1_000)).detail
    guest.settle("delivered = perhaps")
    assert "yes or no" in guest.refusal(delivered(HELLO)).detail


# --- scripts that are delivered ---------------------------------------------------------


def test_a_delivered_script_is_run_and_nothing_of_it_stays(guest: Guest, journal: Journal) -> None:
    assert guest.run(delivered(HELLO)).output == "hello there\n"
    assert [oct(f.stat().st_mode & 0o777) for f in Path(journal.path).glob("script-*")] == ["0o600"] * 2

    staging.forget(journal, "saga", 1)

    assert not list(Path(journal.path).glob("script-*"))


def test_a_delivered_script_is_run_by_the_program_of_its_first_line(guest: Guest) -> None:
    text = f"#!{sys.executable} -I\nimport sys\nprint(sys.argv[1], sys.flags.isolated)\n"

    assert guest.run(delivered(text, "pre.py")).output == "there 1\n"


@pytest.mark.parametrize(
    ("text", "name"), [("echo hello", "pre"), ("#!/no/such/program\n", "pre.sh"), ("#!\n", "pre.sh")]
)
def test_a_delivered_script_that_nothing_can_run_has_a_reason(guest: Guest, text: str, name: str) -> None:
    result = guest.run(delivered(text, name))

    assert (result.started, result.reason) == (False, "script_not_executable")


def test_content_that_is_not_what_its_pin_says_is_not_run(guest: Guest) -> None:
    spec = delivered(HELLO)._replace(content=HELLO + "rm -rf /somewhere\n")

    assert guest.refusal(spec).reason == "script_hash_mismatch"


def test_an_administrator_can_forbid_delivered_scripts(guest: Guest) -> None:
    guest.settle("delivered = no")

    assert guest.refusal(delivered(HELLO)).reason == "script_not_allowed"


def test_generations_do_not_take_each_others_scripts_away(journal: Journal) -> None:
    for generation in (1, 10):
        Path(journal.file(f"script-{generation_name('saga', generation)}-pre.json")).touch()

    staging.forget(journal, "saga", 1)

    assert [p.name[-11:] for p in Path(journal.path).glob("script-*")] == ["10-pre.json"]


# --- scripts that are fetched -----------------------------------------------------------


class Blobs:
    """A server of blobs that can misbehave."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.failures = 0
        self.requests = 0
        blobs = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_arguments: Any) -> None:
                return

            def do_GET(self) -> None:
                blobs.requests += 1
                if blobs.failures:
                    blobs.failures -= 1
                    self.send_error(503)
                    return
                content = blobs.content.get(self.path.partition("?")[0])
                if content is None or "sig=s" not in self.path:
                    self.send_error(404 if content is None else 403)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, name: str, sas: str = "?sig=s") -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}{sas}"


@pytest.fixture
def blobs() -> Iterator[Blobs]:
    served = Blobs()
    yield served
    served.server.shutdown()
    served.server.server_close()


def fetched(blobs: Blobs, text: str = HELLO, **rules: Any) -> ScriptSpec:
    blobs.content["/c/s"] = text.encode()
    return delivered(text)._replace(content="", url=blobs.url("c/s"))._replace(**rules)


def test_a_script_is_fetched_before_it_is_run(guest: Guest, blobs: Blobs) -> None:
    spec = fetched(blobs, HELLO + "#" * 300_000)
    guest.stage(spec)
    blobs.content.clear()

    execution = scripts.Execution(
        SYSTEM, CLOCK, guest.prepared(), scripts.marks(f"fetched-{os.getpid()}", 1, "pre")
    )

    assert execution.run(dict(os.environ), 20_000, starting=lambda: None).output == "hello there\n"


def test_a_storage_that_fails_for_a_moment_is_asked_again(guest: Guest, blobs: Blobs) -> None:
    blobs.failures = 2

    guest.stage(fetched(blobs))

    assert blobs.requests == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "script_hash_mismatch"),
        ({"url": "http://127.0.0.1:9/c/s?sig=s"}, "script_unreachable"),
        ({"url": "http://example.com/c/s?sig=s"}, "script_unreachable"),
    ],
)
def test_what_cannot_be_fetched_or_is_another_is_refused(
    guest: Guest, blobs: Blobs, change: dict[str, Any], reason: str
) -> None:
    refused = guest.refusal(fetched(blobs, **change))

    assert refused.reason == reason
    assert "sig=" not in refused.detail, "the right to read the script is a secret"


def test_a_blob_that_is_gone_is_refused_at_once(guest: Guest, blobs: Blobs) -> None:
    spec = fetched(blobs)
    for url in (blobs.url("c/another"), blobs.url("c/s", "")):
        blobs.requests = 0
        assert guest.refusal(spec._replace(url=url)).reason == "script_gone"
        assert blobs.requests == 1


def test_a_blob_that_is_too_large_is_refused(guest: Guest, blobs: Blobs) -> None:
    spec = fetched(blobs, "#" * (fetching.LONGEST + 1))

    assert guest.refusal(spec).reason == "script_too_large"


def test_nothing_is_fetched_for_a_generation_that_is_over(blobs: Blobs) -> None:
    spec = fetched(blobs)

    with pytest.raises(ScriptUnusable):
        fetching.fetch(spec.url, CLOCK.monotonic() + 10_000, CLOCK, lambda: True)
    assert blobs.requests == 0


# --- as another user --------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root may become another user")
NOBODY = pwd.getpwnam("nobody")
WHO = '#!/bin/sh\necho "$(id -u) $(id -g) $(id -G) $HOME $USER"\n'


@needs_root
def test_a_script_runs_as_the_user_that_its_rules_name(guest: Guest, folder: Path) -> None:
    for above in takewhile(lambda place: place != Path(tempfile.gettempdir()), folder.parents):
        above.chmod(0o755)
    result = guest.run(ScriptSpec(write(folder, "pre.sh", WHO), (), 20_000, run_as="nobody"))

    uid, gid, group, home, user = result.output.split()
    assert (int(uid), int(gid), user) == (NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    assert (group, home) == (gid, NOBODY.pw_dir)


@needs_root
def test_a_delivered_script_can_be_read_by_its_user_and_by_no_other(guest: Guest, journal: Journal) -> None:
    result = guest.run(delivered(WHO, run_as="nobody"))

    assert result.output.startswith(f"{NOBODY.pw_uid} ")
    assert Path(journal.path).stat().st_mode & 0o777 == 0o700


@needs_root
def test_the_tree_of_another_users_script_is_killed_too(guest: Guest) -> None:
    text = "#!/bin/sh\nsetsid sleep 600 &\necho $!\nsleep 600\n"
    result = guest.run(delivered(text, run_as="nobody", timeout_ms=1_500))

    assert result.timed_out
    assert not processes.identity(int(result.output))


def test_a_user_that_the_guest_does_not_have_is_refused(guest: Guest) -> None:
    assert guest.refusal(delivered(HELLO, run_as="no-such-user")).reason == "run_as_unknown"


def test_scripts_run_only_as_whom_the_administrator_allows(guest: Guest, folder: Path) -> None:
    guest.settle(f"folders = {folder}", "run_as_allowed = nobody, daemon")
    assert guest.refusal(delivered(HELLO)).reason == "run_as_not_allowed"

    guest.settle(f"folders = {folder}", f"run_as_allowed = {SYSTEM.own_user()}")
    guest.stage(delivered(HELLO))
    if os.geteuid() == 0:
        assert guest.refusal(delivered(HELLO, run_as="nobody")).reason == "run_as_not_allowed"
