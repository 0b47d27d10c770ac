"""The commands that orders become."""

import pytest

from shared.engine.orders import LINGER_MS, Keys, session_ms, signed_command
from shared.policy.guest_processing import Filesystems, GuestProcessing, Script
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
    state = SagaState(spec=build.spec(guest), started_at=0)
    text = signed_command(state, Order(kind, 2, 5, 9_000), Keys(MASTER))
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


def test_quiesce_says_what_to_run_and_what_to_freeze() -> None:
    assert command_of(QUIESCE).body == {
        "quiesce_timeout_ms": 15_000,
        "freeze_budget_ms": 25_000,
        "pre_script": {"path": "/opt/pre", "arguments": ["a", "ä b"], "timeout_ms": 4_000},
        "post_script": {"path": "/opt/post", "arguments": [], "timeout_ms": 10_000},
        "filesystems": "none",
    }


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
