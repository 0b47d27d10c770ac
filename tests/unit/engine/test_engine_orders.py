"""The commands that orders become."""

import pytest

from shared.engine.orders import LINGER_MS, Keys, session_ms, signed_command
from shared.policy.guest_processing import (
    Anchor,
    AnchorProvider,
    Filesystems,
    GuestProcessing,
    Handler,
    HandlerName,
    Script,
    StderrRule,
)
from shared.protocol import (
    ARM,
    QUIESCE,
    RELEASE,
    RESUME,
    BadSignature,
    Command,
    Expired,
    Stranger,
    decode_command,
    session_key,
    vm_key,
)
from shared.saga.effects import Order
from shared.saga.events import Quiesced
from shared.saga.state import SagaState
from tests.unit.saga import build

MASTER = b"m" * 32
GUEST = GuestProcessing(
    pre_script=Script("/opt/pre", ("a", "ä b"), 4_000),
    post_script=Script("/opt/post"),
    filesystems=Filesystems.NONE,
    freeze_budget_ms=25_000,
    quiesce_timeout_ms=15_000,
)


def command_of(kind: str, guest: GuestProcessing = GUEST) -> Command:
    state = SagaState(spec=build.spec(guest), started_at=0, generation=2, facts=build.facts())
    text = signed_command(state, Order(kind, 2, 5, 9_000), Keys(MASTER), {"p" * 64: "https://scripts/p"})
    key = vm_key(MASTER, build.VM)
    return decode_command(text, build.VM, lambda saga: session_key(key, saga), 8_999)


@pytest.mark.parametrize("kind", [ARM, QUIESCE, RESUME, RELEASE])
def test_the_agent_that_has_the_vms_key_accepts_every_command(kind: str) -> None:
    command = command_of(kind)
    assert command[:6] == (kind, build.VM.lower(), build.SAGA, 2, 5, 9_000)


def test_arm_says_the_budget_and_how_long_the_session_may_last() -> None:
    assert command_of(ARM).body == {
        "budget_ms": 25_000,
        "session_ms": session_ms(SagaState(spec=build.spec(GUEST), started_at=0)),
        "linger_ms": LINGER_MS,
    }


VARIABLES = {
    "STILLFRAME_VM_NAME": "db-1",
    "STILLFRAME_VM_ID": build.VM,
    "STILLFRAME_POLICY_NAME": "nightly",
    "STILLFRAME_RUN_ID": "run-1",
    "STILLFRAME_SAGA_ID": build.SAGA,
    "STILLFRAME_GENERATION": "2",
    "STILLFRAME_DISK_LUNS": "os,0,1",
    "STILLFRAME_DISK_NAMES": "db-1-os,db-1-data-0,db-1-data-1",
    "STILLFRAME_RESOURCE_GROUP": "app",
    "STILLFRAME_SUBSCRIPTION_ID": "s1",
    "STILLFRAME_LOCATION": "westeurope",
}


def test_quiesce_says_what_to_run_and_what_to_freeze() -> None:
    pre = {"path": "/opt/pre", "arguments": ["a", "ä b"], "timeout_ms": 4_000, "environment": VARIABLES}
    post = {"path": "/opt/post", "arguments": [], "timeout_ms": 10_000, "environment": VARIABLES}
    assert command_of(QUIESCE).body == {
        "quiesce_timeout_ms": 15_000,
        "freeze_budget_ms": 25_000,
        "pre_script": pre,
        "post_script": post,
        "filesystems": "none",
    }


def test_variables_are_put_into_arguments_and_environment() -> None:
    script = Script("/pre", ("%vmName%", "%diskLuns% 5%%"), environment=(("WHO", "%runId%/%generation%"),))
    body = command_of(QUIESCE, GuestProcessing(pre_script=script, post_script=script)).body["pre_script"]

    assert body["arguments"] == ["db-1", "os,0,1 5%"]
    assert body["environment"] == VARIABLES | {"WHO": "run-1/2"}


def test_a_script_brings_its_rules_and_leaves_out_what_goes_without_saying() -> None:
    script = Script(
        "/pre",
        retries=2,
        retry_delay_ms=7,
        accepted_exit_codes=(0, 3),
        warning_exit_codes=(4,),
        ignore_exit_codes=True,
        ignore_missing=True,
        stderr=StderrRule.FAIL,
        run_as="db",
    )
    body = command_of(QUIESCE, GuestProcessing(pre_script=script, post_script=script)).body["post_script"]

    del body["environment"]
    assert body == {
        "path": "/pre",
        "arguments": [],
        "timeout_ms": 10_000,
        "retries": 2,
        "retry_delay_ms": 7,
        "accepted_exit_codes": [0, 3],
        "warning_exit_codes": [4],
        "ignore_exit_codes": True,
        "ignore_missing": True,
        "stderr": "fail",
        "run_as": "db",
    }


def test_a_delivered_script_comes_with_its_pin_and_a_stored_one_with_its_url() -> None:
    short = Script(content="echo", sha256="c" * 64, name="pre.sh")
    long = Script(stored=True, sha256="p" * 64, name="post.sh")
    body = command_of(QUIESCE, GuestProcessing(pre_script=short, post_script=long)).body

    source = {"content", "url", "path", "sha256", "name"}
    assert {name: body["pre_script"][name] for name in source & set(body["pre_script"])} == {
        "content": "echo",
        "sha256": "c" * 64,
        "name": "pre.sh",
    }
    assert {name: body["post_script"][name] for name in source & set(body["post_script"])} == {
        "url": "https://scripts/p",
        "sha256": "p" * 64,
        "name": "post.sh",
    }


def test_handlers_and_anchor_are_named_only_where_there_are_any() -> None:
    assert {"handlers", "anchor"} & set(command_of(QUIESCE).body) == set()
    handler = Handler(name=HandlerName.MARIADB, mode="drained", required=False, settings=(("a", "b"),))
    anchor = Anchor(provider=AnchorProvider.LVM, lifetime_ms=60_000)
    body = command_of(QUIESCE, GuestProcessing(handlers=(handler,), anchor=anchor)).body

    settings = {"a": "b"}
    assert body["handlers"] == [
        {"name": "mariadb", "mode": "drained", "required": False, "settings": settings}
    ]
    assert body["anchor"] == {"provider": "lvm", "lifetime_ms": 60_000, "settings": {}}
    assert command_of(QUIESCE, GuestProcessing(detect_handlers=True)).body["handlers"] == "auto"


def test_quiesce_without_scripts_says_so() -> None:
    body = command_of(QUIESCE, GuestProcessing()).body
    assert (body["pre_script"], body["post_script"], body["filesystems"]) == (None, None, "all")


def test_resume_needs_nothing_and_release_says_why() -> None:
    assert command_of(RESUME).body == {}
    assert command_of(RELEASE).body == {"why": "the saga goes on without this guest"}


def text_of(master: bytes = MASTER) -> str:
    state = SagaState(spec=build.spec(), started_at=0)
    return signed_command(state, Order(RESUME, 1, 1, 9_000), Keys(master))


def key_of(saga: str) -> bytes:
    return session_key(vm_key(MASTER, build.VM), saga)


def test_another_masters_command_is_refused() -> None:
    with pytest.raises(BadSignature):
        decode_command(text_of(b"x" * 32), build.VM, key_of, 0)


def test_another_vms_command_is_refused() -> None:
    with pytest.raises(Stranger):
        decode_command(text_of(), build.VM + "2", key_of, 0)


def test_a_late_command_is_refused() -> None:
    with pytest.raises(Expired):
        decode_command(text_of(), build.VM, key_of, 9_001)


def test_the_case_of_the_vms_id_makes_no_other_key() -> None:
    keys = Keys(MASTER)
    assert keys.of_session(build.VM.upper(), "s") == keys.of_session(build.VM.lower(), "s")


@pytest.mark.parametrize("budget_ms", [2_000, 30_000, 600_000])
@pytest.mark.parametrize("resume_timeout_ms", [5_000, 60_000])
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_session_outlasts_the_slowest_saga(budget_ms: int, resume_timeout_ms: int, attempts: int) -> None:
    guest = GuestProcessing(
        freeze_budget_ms=budget_ms,
        quiesce_timeout_ms=budget_ms - 1_000,
        resume_timeout_ms=resume_timeout_ms,
        attempts=attempts,
    )
    saga = build.arming(guest)
    started = saga.now
    while saga.state.generation <= attempts and saga.state.phase == "arming":
        generation = saga.state.generation
        saga.wait_out().take(build.ready(generation), after_ms=-1)
        saga.wait_out()
        report = build.quiesce_report(scripts=False, budget_left_ms=budget_ms)
        saga.take(Quiesced(generation, 2, report, saga.now - 1), after_ms=-1)
        saga.wait_out().take(build.captured(generation, at=saga.now, errors=("x", "", "")), after_ms=-1)
        assert saga.state.phase == "resuming"
        saga.wait_out().take(build.resumed(generation), after_ms=-1)
    assert saga.state.generation == attempts
    assert saga.now - started <= session_ms(saga.state)
