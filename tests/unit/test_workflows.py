"""The workflows for GitHub: pinned, with few rights, without secrets, and calling only what there is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(path.name for path in FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


def steps(name: str) -> list[tuple[str, dict[str, Any]]]:
    jobs = load(name)["jobs"]
    return [(job, step) for job, told in jobs.items() for step in told.get("steps", [])]


def scripts(name: str) -> list[str]:
    return [step["run"] for _, step in steps(name) if "run" in step]


def test_there_is_one_for_checks_tests_packages_and_deployment() -> None:
    assert FILES == ["check.yml", "deploy.yml", "package.yml", "test.yml"]


@pytest.mark.parametrize("name", FILES)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(name: str) -> None:
    used = [line.strip("- ").strip() for line in (FOLDER / name).read_text().splitlines() if "uses:" in line]

    assert used
    assert [line for line in used if not PINNED.match(line) and not line.startswith("uses: ./.github/")] == []


def test_one_action_has_one_pin_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for name in FILES:
        for action, pin in re.findall(r"uses: ([\w./-]+)@(\S+ # \S+)", (FOLDER / name).read_text()):
            pins.setdefault(action.lower(), set()).add(pin)

    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", FILES)
def test_rights_are_reading_and_a_token_for_azure_where_it_is_deployed_alone(name: str) -> None:
    document = load(name)

    assert document["permissions"] == {"contents": "read"}
    for job, told in document["jobs"].items():
        rights = told.get("permissions", document["permissions"])
        logs_in = any("azure/login@" in step.get("uses", "") for step in told.get("steps", []))
        assert rights == {"contents": "read", **({"id-token": "write"} if logs_in else {})}, job
        if logs_in:
            assert told["environment"] == "${{ inputs.environment }}", "its rules guard what deploys"


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_stored_or_told(name: str) -> None:
    text = (FOLDER / name).read_text()

    assert "secrets." not in text
    assert "client-secret" not in text
    for script in scripts(name):
        assert not re.search(r"(echo|printf|cat)\b[^|\n]*(KEY|TOKEN|SECRET)", script)
        assert "set -x" not in script


@pytest.mark.parametrize("name", FILES)
def test_what_others_can_set_reaches_scripts_as_values_only(name: str) -> None:
    assert [script for script in scripts(name) if "${{" in script] == []


@pytest.mark.parametrize("name", FILES)
def test_a_checkout_leaves_no_token_behind_and_every_job_ends(name: str) -> None:
    for _, step in steps(name):
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    for job, told in load(name)["jobs"].items():
        assert "uses" in told or 0 < told["timeout-minutes"] <= 90, job


@pytest.mark.parametrize("name", FILES)
def test_every_verb_of_make_that_is_called_exists(name: str) -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {verb for script in scripts(name) for verb in re.findall(r"\bmake ([a-z-]+)", script)}

    assert called <= verbs


def test_each_verb_that_a_change_must_pass_is_called_somewhere() -> None:
    called = {
        verb for name in FILES for script in scripts(name) for verb in re.findall(r"\bmake ([a-z-]+)", script)
    }

    assert {"check", "test", "package", "cli"} <= called


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_a_script_names_is_there(name: str) -> None:
    for script in scripts(name):
        for path in re.findall(r"\binfra/[\w./-]+\.(?:sh|bicep)\b", script):
            if path != "infra/main.bicep":  # held by the tests of the templates themselves
                assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", FILES)
def test_the_scripts_are_sound(name: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    for script in scripts(name):
        done = subprocess.run(
            [str(shellcheck), "--shell=bash", "-"], input=script, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_nothing_is_deployed_before_it_was_looked_at_and_then_it_is_asked_how_it_is() -> None:
    jobs = load("deploy.yml")["jobs"]
    looked = " ".join(step.get("run", "") for step in jobs["look"]["steps"])
    deployed = " ".join(step.get("run", "") for step in jobs["deploy"]["steps"])

    assert jobs["look"]["needs"] == "package"
    assert jobs["deploy"]["needs"] == "look"
    assert jobs["deploy"]["if"] == "${{ !inputs.only_look }}"
    assert "azd provision --preview" in looked
    assert "azd provision --no-prompt" not in looked
    assert deployed.index("sha256sum --check") < deployed.index("azd deploy") < deployed.index("smoke.sh")
