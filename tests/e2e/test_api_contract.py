"""The HTTP API keeps its OpenAPI document: asked by Schemathesis what the document allows, and what not.

`SCHEMATHESIS_EXAMPLES=500` asks longer.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from local.functions_host.keys import Keys
from local.stack.stack import Stack, StackOptions
from shared.triggers.openapi import document

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NEVER = "0 0 0 1 1 *"
KEY = "the host key"
OPTIONS = StackOptions(
    keys=Keys(master="the master key", host={"default": KEY}),
    # What comes after a run was accepted is not asked here, and would be in the way.
    settings={
        "STILLFRAME_SCHEDULES_TIMER": NEVER,
        "STILLFRAME_SWEEP_TIMER": NEVER,
        "AzureWebJobs.run_task.Disabled": "true",
        "AzureWebJobs.saga_step.Disabled": "true",
    },
)
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES") or "4"
LONGEST_S = 7_200 if "SCHEMATHESIS_EXAMPLES" in os.environ else 480

#: What a schema cannot say is answered with 400 all the same: settings that do not fit together, another
#: version's ETag. The schema of a policy has more branches than the phase that covers each can get through.
#: The path of a rebuild is also that of a point of such a name, whose methods a 405 then allows.
CONFIG = """\
[checks]
positive_data_acceptance.expected-statuses = ["2XX", 400, 404, 409, 412, 413, 422]

[[operations]]
include-operation-id = [
  "start_run", "start_rehearsal", "preflight_run",
  "put_policy", "validate_policy", "try_policy", "try_retention", "rebuild_points",
]
phases.coverage.enabled = false
"""


async def test_the_document_that_is_served_is_the_one_that_is_tested(stack: Stack) -> None:
    _, headers, served = await stack.api.call("GET", "/api/openapi.json")
    assert served == json.loads(json.dumps(document()))
    assert headers["Content-Type"] == "application/json"


@pytest.mark.timeout(LONGEST_S + 60)
async def test_whatever_is_asked_is_answered_as_the_document_says(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", "openapi.json",
        "--url", f"{stack.api.base}/api",
        "--header", f"x-functions-key: {KEY}",
        "--max-examples", EXAMPLES,
        "--generation-deterministic",
        "--suppress-health-check", "all",
        "--continue-on-failure",
        "--no-color",
    ]  # fmt: skip
    asking = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(asking.communicate(), LONGEST_S)
    finally:
        if asking.returncode is None:
            asking.kill()
    assert asking.returncode == 0, said.decode()[-20_000:]
