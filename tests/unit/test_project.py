"""The project's own files: locks, packaging, settings, and what must not be in them."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import agent
from shared.policy.guest_fields import LONGEST_FREEZE_MS
from shared.saga.phases import UNHELD_CAPTURE_TIMEOUT_MS
from shared.settings import read_settings
from shared.storage.connection import read_connection
from shared.triggers.page import FILES
from shared.triggers.queues import GUEST_STORAGE, STORAGE
from shared.version import VERSION
from tests.unit.asked import Asked

ROOT = Path(__file__).resolve().parents[2]
HOST = re.compile(r"\w://|--(extra-)?index-url|--find-links|--trusted-host", re.IGNORECASE)


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / name).read_text())
    return document


def requirements(name: str) -> dict[str, list[str]]:
    """Give each pinned requirement of a lock with its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {line.split()[0]: re.findall(r"--hash=(\S+)", line) for line in lines}


def tracked(*arguments: str) -> list[str]:
    """Give the files of the repository, or skip where this is no checkout."""
    command = ["git", "ls-files", "-z", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is missing")
    if done.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


LOCKS = ["requirements.txt", "requirements-dev.txt", "requirements-cli.txt"]


@pytest.mark.parametrize("lock", [*LOCKS, "package-lock.json", ".npmrc"])
def test_no_lock_names_a_host(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    # The npm lock repeats what packages say of their licence and their funding: no place to install from.
    told = re.compile(r'\s*"(url|license|funding)": ')
    named = [line for line in lines if HOST.search(line) and not told.match(line)]
    assert named == []
    assert "resolved" not in (ROOT / "package-lock.json").read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_python_requirement_is_pinned_with_hashes(lock: str) -> None:
    for requirement, hashes in requirements(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[\w.]+", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


def test_every_npm_package_is_pinned_with_its_integrity() -> None:
    packages = load("package-lock.json")["packages"]
    assert packages[""]["dependencies"] == load("package.json")["dependencies"]
    for name, package in packages.items():
        if name:
            assert re.fullmatch(r"sha512-[A-Za-z0-9+/=]{88}", package["integrity"]), name
            assert package["version"], name


def name_of(requirement: str) -> str:
    return re.split(r"[=<>!~\[; ]", requirement)[0].lower()


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def developers_tools() -> list[str]:
    """What developers alone need; what the command line needs is another group, which theirs includes."""
    return [each for each in project()["dependency-groups"]["dev"] if isinstance(each, str)]


def test_the_apps_lock_agrees_with_what_the_project_declares() -> None:
    declared = project()["project"]["dependencies"]
    assert set(declared) <= set(requirements("requirements.txt"))


def test_the_apps_lock_has_no_tool_of_the_developers() -> None:
    tools = {name_of(tool) for tool in developers_tools()}
    assert {name_of(requirement) for requirement in requirements("requirements.txt")} & tools == set()


def test_the_developers_lock_has_the_very_versions_of_the_app_and_every_tool() -> None:
    app, developers = set(requirements("requirements.txt")), set(requirements("requirements-dev.txt"))
    assert app <= developers
    names = {name_of(requirement) for requirement in developers}
    assert {name_of(tool) for tool in developers_tools()} <= names


def test_the_command_lines_lock_has_what_it_needs_in_the_versions_of_the_developers() -> None:
    lock = set(requirements("requirements-cli.txt"))
    assert lock <= set(requirements("requirements-dev.txt"))
    needed = {name_of(each) for each in project()["dependency-groups"]["cli"]}
    assert needed <= {name_of(requirement) for requirement in lock}


def test_what_is_deployed_is_the_app_and_nothing_else() -> None:
    left_out = set(tracked("--cached", "--ignored", f"--exclude-from={ROOT / '.funcignore'}"))
    deployed = {name for name in tracked() if name not in left_out}
    page = {f"shared/ui/{name}" for name in ("index.html", *FILES)}
    assert page <= deployed
    others = {name for name in deployed - page if not (name.startswith("shared/") and name.endswith(".py"))}
    assert others - {"LICENSE", ".funcignore"} == {"function_app.py", "host.json", "requirements.txt"}
    assert {"shared/protocol.py", "shared/triggers/http.py"} <= deployed


def test_what_is_made_here_is_neither_deployed_nor_committed() -> None:
    not_deployed = (ROOT / ".funcignore").read_text().split()
    not_committed = (ROOT / ".gitignore").read_text().split()
    for made in (
        ".venv/",
        "node_modules/",
        ".demo/",
        ".local/",
        "build/",
        ".build/",
        "__pycache__/",
        ".hypothesis/",
    ):
        assert made in not_deployed, made
        assert made in not_committed, made
    assert "local.settings.json" in not_committed
    assert "local.settings*.json" in not_deployed


def test_the_example_settings_have_all_that_the_app_asks_for() -> None:
    values: dict[str, str] = load("local.settings.example.json")["Values"]
    usable = Asked(values | {"STILLFRAME_MASTER_KEY": "00" * 32})
    read_settings(usable)
    for connection in (STORAGE, GUEST_STORAGE):
        read_connection(connection, usable)
    # A user-assigned identity, and the name of the app's host, are Azure's alone.
    assert usable.names - {"AZURE_CLIENT_ID", "WEBSITE_HOSTNAME"} <= set(values)
    sources = [ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py")]
    for source in sources:
        for name in re.findall(r"%([A-Z][A-Z0-9_]{2,})%", source.read_text()):
            assert name in values, (source, name)


def test_the_example_settings_hold_no_secret() -> None:
    values: dict[str, str] = load("local.settings.example.json")["Values"]
    assert "AccountKey" not in json.dumps(values)
    assert not re.search(r"[0-9a-fA-F]{32}", values["STILLFRAME_MASTER_KEY"])


def test_no_file_names_a_place_on_a_developers_machine() -> None:
    places = re.compile("|".join([r"/" + r"root/", r"/" + r"home/[a-z]\w*/", r"[A-Z]:\\\\?" + r"Users\\"]))
    found = []
    for name in tracked():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {place}" for place in places.findall(text)]
    assert found == []


def test_the_host_is_told_how_messages_are_written_and_when_they_come_again() -> None:
    queues = load("host.json")["extensions"]["queues"]
    assert queues == {
        "maxPollingInterval": "00:00:00.500",
        "batchSize": 16,
        "newBatchThreshold": 8,
        "visibilityTimeout": "00:00:10",
        "maxDequeueCount": 5,
        "messageEncoding": "base64",
    }


def test_the_host_serves_the_routes_that_answers_lead_to() -> None:
    host = load("host.json")
    assert (host["version"], host["extensions"]["http"]["routePrefix"]) == ("2.0", "api")
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"


def test_no_capture_outlasts_the_functions_time_out() -> None:
    hours, minutes, seconds = map(int, load("host.json")["functionTimeout"].split(":"))
    time_out_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000

    # Whoever outlasts it has the host restart the worker, and with it every other invocation.
    assert max(UNHELD_CAPTURE_TIMEOUT_MS, LONGEST_FREEZE_MS) + 60_000 <= time_out_ms


def test_app_agent_and_project_say_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert (project["version"], project["version"]) == (VERSION, agent.VERSION)
