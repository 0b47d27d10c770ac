"""Who is told of what, how often, and what becomes of a notice that nobody takes."""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.compute.errors import Denied
from shared.delivery.addresses import ForbiddenAddress
from shared.delivery.webhooks import Answer, Unreachable
from shared.engine import notice_events
from shared.engine.carrying_out import carry_out
from shared.engine.delivering import LONGEST_PAUSE_MS, PAUSES_MS
from shared.engine.notice_messages import Notice, read_notice
from shared.engine.queue_names import ACKS, NOTICES, NOTICES_DEAD, RUNS, STEPS
from shared.engine.sweeping import OVERDUE_MS
from shared.policy.documents import read_policy, read_run
from shared.policy.fields import DocumentError
from shared.policy.notifications import Webhook
from shared.policy.selection import Scope
from shared.storage.memory import MemoryQueues
from shared.storage.queues import check_size
from shared.storage.run_records import RunEntry, RunRecord
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import DAY_MS, SCRIPTS, VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When
from tests.unit.triggers.contract import faults

SUB = "00000000-0000-0000-0000-000000000001"
SECRET = "whsec_" + "QUFB" * 8
ENVIRONMENT = {"STILLFRAME_WEBHOOK_SECRET_OPS": SECRET}
ALL = ["success", "warning", "failure", "overdue", "missed"]
HOOK = {"url": "https://hooks.example.org/secret-path?token=x", "secret": "ops"}
MANY = tuple(vm_id(f"vm-{number:02}") for number in range(20))

Reaction = Answer | Exception


@dataclass
class Posts:
    """A receiver: what was posted, when, and how it reacts; without more reactions it takes everything."""

    clock: Callable[[], int] = lambda: 0
    reactions: list[Reaction] = field(default_factory=list)
    posted: list[tuple[int, dict[str, Any], Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, now: int) -> Answer:
        event = json.loads(body)
        assert faults("Notice", event) == []
        assert headers["webhook-id"] == event["id"]
        self.posted.append((now, event, headers))
        reaction = self.reactions.pop(0) if self.reactions else Answer(200)
        if isinstance(reaction, Exception):
            raise reaction
        return reaction

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, event, _ in self.posted]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def a_house(*reactions: Reaction, interruptions: Interruptions | None = None) -> tuple[House, Posts]:
    posts = Posts(reactions=list(reactions))
    return House(interruptions, poster=posts, environment=ENVIRONMENT), posts


async def start(house: House, *vms: str, on: list[str] | None = None, per: str = "run", **more: Any) -> str:
    notification = {"on": on or ALL, "per": per, "webhook": HOOK}
    document = {
        "vms": list(vms or (VM,)),
        "guest_processing": SCRIPTS | more,
        "notifications": [notification],
    }
    return await house.app.policies.start(read_run(document), "http", "once")


def waiting(house: House, queue: str = NOTICES) -> list[dict[str, Any]]:
    return [json.loads(message.text) for message in house.messages(queue)]


async def test_the_end_of_a_run_is_told_once_with_what_came_of_its_vms() -> None:
    house, posts = a_house()
    run = await start(house, VM, vm_id("db-2"))
    await house.settle()
    [event] = posts.events
    assert event["type"] == "stillframe.run.succeeded"
    assert (event["source"], event["subject"]) == ("/api", f"runs/{run}")
    data = event["data"]
    assert (data["run"], data["vm_count"], data["problems"]) == (run, 2, [])
    assert data["vms"] == {
        "succeeded": 2,
        "degraded": 0,
        "failed": 0,
        "cancelled": 0,
        "rehearsed": 0,
        "running": 0,
    }
    view = await house.app.reading.run(run)
    assert event["time"] == data["ended_at"] == max(vm["ended_at"] for vm in view["vms"])
    assert waiting(house) == waiting(house, NOTICES_DEAD) == []


async def test_each_vm_is_told_of_where_that_is_wanted_and_the_run_is_not() -> None:
    house, posts = a_house()
    await start(house, *MANY, per="vm")
    await house.settle()
    assert Counter(posts.types) == {"stillframe.vm.succeeded": 20}
    assert {event["data"]["vm"] for event in posts.events} == set(MANY)
    assert len({event["id"] for event in posts.events}) == 20


async def test_a_run_of_many_is_told_of_when_its_last_vm_has_ended_and_not_by_the_sweep() -> None:
    house, posts = a_house()
    await start(house, *MANY, enabled=False)
    began = house.clock()
    await house.settle(began + 59_000)
    assert posts.types == ["stillframe.run.succeeded"]
    await house.settle()
    assert posts.types == ["stillframe.run.succeeded"]


async def test_failures_are_told_with_the_sentence_and_what_to_do() -> None:
    house, posts = a_house()
    house.compute.start_guest = lambda _vm, _bootstrap: None  # no agent ever answers
    run = await start(house, per="vm", on=["failure"], on_guest_failure="fail")
    await house.settle()
    view = await house.view(run)
    [event] = posts.events
    assert event["type"] == "stillframe.vm.failed"
    for member in ("sentence", "step", "what_to_do", "code"):
        assert event["data"]["problem"][member] == view["problem"][member]
    assert event["data"]["href"] == f"/api/runs/{run}/vms/{view['saga']}"


async def test_a_run_is_what_the_worst_of_its_vms_is_and_failures_are_named_first() -> None:
    house, posts = a_house()
    house.compute.start_guest = lambda _vm, _bootstrap: None
    await start(house, *MANY, on=["failure"], on_guest_failure="fail")
    await house.settle()
    [event] = posts.events
    assert event["type"] == "stillframe.run.failed"
    assert event["data"]["vms"]["failed"] == 20
    assert (len(event["data"]["problems"]), event["data"]["problems_left_out"]) == (10, 10)
    assert all(problem["outcome"] == "failed" for problem in event["data"]["problems"])


@pytest.mark.parametrize("per", ["run", "vm"])
async def test_a_vm_that_is_tried_again_is_told_of_after_its_last_try(per: str) -> None:
    house, posts = a_house()
    house.compute.start_guest = lambda _vm, _bootstrap: None  # no agent ever answers
    notification = {"on": ALL[:3], "per": per, "webhook": HOOK}
    document = {
        "vms": [VM],
        "guest_processing": SCRIPTS | {"on_guest_failure": "fail", "attempts": 1},
        "retry": {"attempts": 3, "delay_ms": 60_000},
        "notifications": [notification],
    }
    run = await house.app.policies.start(read_run(document), "http", "")
    await house.settle()
    view = await house.app.reading.run(run)
    assert len(view["vms"]) == 1
    assert posts.types == [f"stillframe.{per}.failed"]
    shown = posts.events[0]["data"]
    assert (shown["vm_count"] == 1) if per == "run" else (shown["saga"] == view["vms"][0]["saga"])


async def test_what_nobody_wants_to_know_is_not_told() -> None:
    house, posts = a_house()
    await start(house, on=["failure", "overdue"])
    await house.settle()
    assert posts.events == []
    assert waiting(house) == []


async def test_a_cancelled_run_is_a_warning() -> None:
    house, posts = a_house()
    run = await start(house)
    await house.app.runs.cancel(run)
    await house.settle()
    assert posts.types == ["stillframe.run.warned"]
    assert posts.events[0]["data"]["vms"]["cancelled"] == 1


async def test_a_queue_is_told_the_event_itself() -> None:
    house, _ = a_house()
    document = {"vms": [VM], "guest_processing": SCRIPTS, "notifications": [{"on": ALL, "queue": "results"}]}
    await house.app.policies.start(read_run(document), "http", "")
    await house.settle()
    [event] = waiting(house, "results")
    assert faults("Notice", event) == []
    assert event["type"] == "stillframe.run.succeeded"


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("per", ["run", "vm"])
async def test_whichever_operation_is_the_apps_last_the_end_is_told_and_a_repetition_is_recognised(
    when: When, per: str
) -> None:
    ends = ["success", "warning", "failure"]  # a crash may make it overdue as well
    house, _ = a_house()
    await start(house, per=per)
    await house.settle()
    operations = len(house.interruptions.seen)
    for number in range(1, operations + 1):
        house, posts = a_house(interruptions=Interruptions(number, when))
        try:
            await start(house, per=per, on=ends)
        except AppDied:
            house._restart(AppDied("asked again"))
            await start(house, per=per, on=ends)
        await house.settle()
        told = (number, when, house.interruptions.seen)
        assert len({event["id"] for event in posts.events}) == 1, told
        assert 1 <= len(posts.events) <= 2, told
        assert len({json.dumps(event, sort_keys=True) for event in posts.events}) == 1, told


async def test_an_end_that_a_crash_and_lost_messages_left_untold_is_told_by_the_sweep() -> None:
    for per in ("run", "vm"):
        house, posts = a_house()
        await start(house, per=per)
        while not any(
            state.state.phase == "done"
            for state in [await house.sagas.load(saga) for saga in await sagas_of(house)]
        ):
            house.app = house.another_instance(dying_at_the_end)
            if not await house.work():
                house.clock.now = house._next_time() or house.clock.now
        for queue in (STEPS, ACKS, RUNS):
            for message in house.messages(queue):
                await house._delete(queue, message)
        house.app = house.another_instance()
        assert posts.events == []
        await house.settle()
        assert len({event["id"] for event in posts.events}) == 1, per


async def sagas_of(house: House) -> list[str]:
    return [partition for partition, row in house.tables._tables["sagas"] if row == "state"]


def dying_at_the_end(hands: Any) -> Any:
    async def until_the_end(state: Any, effects: Any) -> Any:
        if any(type(effect).__name__ == "RecordEnd" for effect in effects):
            raise RuntimeError("the instance is lost")
        return await carry_out(hands, state, effects)

    return until_the_end


@pytest.mark.parametrize("per", ["run", "vm"])
async def test_what_is_overdue_is_told_once_however_often_it_is_swept(
    per: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, posts = a_house()
    house.compute.start_guest = lambda _vm, _bootstrap: None
    run = await start(house, per=per, on=["overdue"])
    await house.work()
    state = (await house.sagas.load((await house.view(run))["saga"])).state
    assert state.deadline is not None
    house.clock.now = state.deadline + OVERDUE_MS + 1
    monkeypatch.setattr(house.app.sweeping._steps, "look", unable)
    for _ in range(3):
        await house.functions["sweep"](None)
        for message in house.queues.receive(RUNS):
            await house._deliver(RUNS, message)
        for message in house.queues.receive(NOTICES):
            await house._deliver(NOTICES, message)
        house.clock.now += 60_000
    [event] = posts.events
    assert event["type"] == f"stillframe.{per}.overdue"
    assert (event["data"]["overdue"]["vm"], event["data"]["overdue"]["phase"]) == (VM, "arming")
    assert event["data"]["ended_at"] is None


async def test_an_overdue_saga_is_mended_even_when_nobody_can_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, _ = a_house()
    house.compute.start_guest = lambda _vm, _bootstrap: None
    run = await start(house, on=["overdue"])
    await house.work()
    saga = (await house.view(run))["saga"]
    before = (await house.sagas.load(saga)).state
    assert before.deadline is not None
    house.clock.now = before.deadline + OVERDUE_MS + 1
    for message in house.messages(STEPS):
        await house._delete(STEPS, message)
    monkeypatch.setattr(house.app.sweeping._notices, "overdue", unable_to_tell)
    await house.functions["sweep"](None)
    for message in house.queues.receive(RUNS):
        await house._deliver(RUNS, message)
    assert (await house.sagas.load(saga)).state.generation == before.generation + 1


async def unable_to_tell(*_: Any) -> None:
    raise RuntimeError("the queue is away")


async def unable(_message: Any) -> Any:
    raise RuntimeError("the saga cannot be mended")


async def test_a_missed_schedule_is_told_to_those_of_its_policy_who_want_to_know() -> None:
    house, posts = a_house()
    listed = read_policy(
        {
            "vms": [VM],
            "notifications": [
                {"webhook": HOOK},
                {"on": ["failure"], "webhook": HOOK},
                {"on": ["missed", "failure"], "per": "run", "queue": "results"},
            ],
        }
    ).notifications
    told = house.app.sweeping._notices
    assert told is not None
    for _ in range(2):  # a crash made it be told again
        await told.missed("nightly", listed, "weekdays", 1_800_000_000_000, "The app was down until 04:00.")
    await house.work()
    assert posts.types == ["stillframe.schedule.missed"] * 2
    assert len({event["id"] for event in [*posts.events, *waiting(house, "results")]}) == 1
    data = posts.events[0]["data"]
    assert (data["policy"], data["schedule"]) == ("nightly", "weekdays")
    assert data["due"] == "2027-01-15T08:00:00.000Z"


async def test_a_receiver_that_is_down_for_a_while_gets_the_same_event_by_and_by() -> None:
    house, posts = a_house(Unreachable("ClientConnectorError"), Answer(500), Answer(302), Answer(404))
    await start(house)
    await house.settle()
    assert len(posts.posted) == 5
    assert len({json.dumps(event) for event in posts.events}) == 1
    assert len({headers["webhook-id"] for _, _, headers in posts.posted}) == 1
    assert len({headers["webhook-timestamp"] for _, _, headers in posts.posted}) == 5
    assert len({headers["webhook-signature"] for _, _, headers in posts.posted}) == 5
    assert waiting(house) == waiting(house, NOTICES_DEAD) == []


async def test_after_ten_attempts_in_a_day_a_notice_is_put_aside_and_health_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house, posts = a_house(*[Unreachable("ClientConnectorError")] * 20)
    await start(house)
    with caplog.at_level(logging.INFO):
        await house.settle(house.clock() + 3 * DAY_MS)
    times = [at for at, _, _ in posts.posted]
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert len(times) == 10
    for pause, planned in zip(pauses, PAUSES_MS, strict=True):
        assert planned <= pause <= planned * 1.1 + 1_000
    assert 24 * 3_600_000 <= times[-1] - times[0] <= 28 * 3_600_000
    [dead] = waiting(house, NOTICES_DEAD)
    assert dead["given_up"] == {"why": "no answer: ClientConnectorError", "attempts": 10, "at": times[-1]}
    assert waiting(house) == []
    health = (await house.app.health.report()).document
    assert (health["status"], health["notices"]["given_up"]) == ("healthy", 1)
    assert "1 notices could not be delivered: queue stillframe-notices-dead" in health["attention"]
    [line] = [each.message for each in caplog.records if "given up" in each.message]
    assert "host hooks.example.org" in line
    assert "secret-path" not in caplog.text
    assert SECRET not in caplog.text + json.dumps(waiting(house, NOTICES_DEAD))


async def test_a_notice_that_was_put_aside_is_tried_anew_when_it_is_put_back() -> None:
    house, posts = a_house(Answer(410))
    await start(house)
    await house.settle()
    [message] = house.messages(NOTICES_DEAD)
    await MemoryQueues.put(house.queues, NOTICES, message.text, delay_s=0, expires_in_s=-1)
    await house.settle()
    assert len({json.dumps(event) for event in posts.events}) == 1
    assert len(posts.events) == 2
    assert len(house.messages(NOTICES_DEAD)) == 1


async def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    house, posts = a_house(Answer(410))
    await start(house)
    await house.settle()
    assert len(posts.posted) == 1
    assert waiting(house, NOTICES_DEAD)[0]["given_up"]["why"] == "the receiver answered 410"


@pytest.mark.parametrize(
    ("asked_ms", "waited_ms"), [(3_600_000, 3_600_000), (10, PAUSES_MS[0]), (10**12, LONGEST_PAUSE_MS)]
)
async def test_a_receiver_that_asks_for_patience_is_given_it(asked_ms: int, waited_ms: int) -> None:
    house, posts = a_house(Answer(429, asked_ms))
    await start(house)
    await house.settle(house.clock() + 2 * DAY_MS)
    first, second = (at for at, _, _ in posts.posted)
    assert waited_ms <= second - first <= waited_ms * 1.1 + 1_000


async def test_a_secret_that_is_missing_and_a_host_that_turned_private_are_tried_again() -> None:
    house, posts = a_house(ForbiddenAddress("10.0.0.1"))
    await start(house)
    house.environment = {}
    house.app = house.another_instance()
    await house.settle(house.clock() + 60_000)
    assert posts.posted == []
    [notice] = waiting(house)
    assert notice["attempts"] > 0
    house.environment = ENVIRONMENT
    house.app = house.another_instance()
    await house.settle()
    assert len(posts.posted) == 2


async def test_a_notice_that_the_app_fails_to_deliver_is_put_aside_too() -> None:
    house, _ = a_house(*[RuntimeError("a defect")] * 5)
    await start(house)
    await house.settle()
    [dead] = waiting(house, NOTICES_DEAD)
    assert dead["given_up"]["why"] == "the app failed to deliver it, again and again"
    assert read_notice(json.dumps(dead)).attempts == 0


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"secret": "other"}, "secret"),
        ({"url": "http://127.0.0.1:8080/"}, "url"),
        ({"url": "http://localhost:8080/"}, "url"),
        ({"url": "https://169.254.169.254/metadata"}, "url"),
        ({"url": "https://[fd00::1]/"}, "url"),
        ({"url": "https://168.63.129.16/"}, "url"),
    ],
)
async def test_receivers_that_cannot_be_told_are_refused(webhook: dict[str, str], field: str) -> None:
    house, _ = a_house()
    document = {"vms": [VM], "notifications": [{"webhook": HOOK}, {"webhook": HOOK | webhook}]}
    before = repr(house.tables._tables)
    for refused in (
        house.app.policies.put("nightly", document, None),
        house.app.policies.start(read_run(document), "http", ""),
    ):
        with pytest.raises(DocumentError, match="STILLFRAME_WEBHOOK_") as caught:
            await refused
        assert caught.value.field == f"notifications[1].webhook.{field}"
    assert repr(house.tables._tables) == before


async def test_the_largest_notice_fits_a_message() -> None:
    vm = VM.replace("app", "ä" * 90).replace("db-1", "v" * 64)
    entry = RunEntry(
        saga_id="s" * 20, vm_id=vm, outcome="failed", grade="crash", reason="ö" * 8_000, problem="€" * 8_000
    )
    record = RunRecord(
        run_id="r" * 16, created_at=1, policy_name="p" * 63, requested_by="http", vm_count=99, settings={}
    )
    late = notice_events.Lateness(entry=entry, phase="pending", since=1)
    group = {"group": "g" * 63, "state": "captured", "one_instant": None, "sentence": "€" * 8_000}
    event = notice_events.run_overdue("/api", record, [entry] * 99, late, [group] * 32)
    assert (len(event["data"]["groups"]), event["data"]["groups_left_out"]) == (5, 27)
    headers = tuple((f"X-{n:062}", "v" * 256) for n in range(10))
    webhook = Webhook(
        url="https://" + "u" * 992,
        secret="s" * 63,
        headers=headers,
    )
    check_size(NOTICES, Notice(event=event, webhook=webhook, first_at=1).dead_letter("w" * 300, 2))


RULES = {"selection": {"include": [{"subscriptions": [SUB], "tags": {"tag": "env", "equals": "prod"}}]}}
TOLD = {"notifications": [{"on": ALL, "webhook": HOOK}]}


async def test_a_run_whose_selection_found_nothing_or_not_all_is_told_of_as_a_warning() -> None:
    for unreadable, state in ((False, "empty"), (True, "partial")):
        house, posts = a_house()
        if unreadable:
            house.compute.unlistable[Scope(SUB)] = Denied("AuthorizationFailed", "not allowed")
        await house.app.policies.put("nightly", {**RULES, **TOLD}, None)
        await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
        await house.settle()
        [event] = posts.events
        assert event["type"] == "stillframe.run.warned"
        assert event["data"]["selection"]["state"] == state
        assert event["data"]["vm_count"] == 0


GROUP = [{"name": "pair", "vms": [VM, vm_id("db-2")]}]


@pytest.mark.parametrize(
    ("only", "kind", "told"),
    [
        ([], "succeeded", ("proved", True)),
        ([VM], "warned", ("alone", False)),
    ],
)
async def test_a_run_whose_group_shares_no_instant_is_told_of_as_a_warning(
    only: list[str], kind: str, told: tuple[str, bool]
) -> None:
    house, posts = a_house()
    policy = {"vms": [VM, vm_id("db-2")], "guest_processing": SCRIPTS, "groups": GROUP, **TOLD}
    await house.app.policies.put("nightly", policy, None)
    asked = {"policy": "nightly"} | ({"vms": only} if only else {})
    await house.app.policies.start(read_run(asked), "http", "")
    await house.settle()
    [event] = posts.events
    assert event["type"] == f"stillframe.run.{kind}"
    [group] = event["data"]["groups"]
    assert (group["group"], group["state"], group["one_instant"]) == ("pair", *told)
    assert group["sentence"]


async def test_a_time_that_was_missed_is_told_of_with_its_reason() -> None:
    house, posts = a_house()
    schedule = {"name": "hourly", "cron": "0 * * * *", "start_within_ms": 600_000}
    await house.app.policies.put("nightly", {"vms": [VM], "schedules": [schedule], **TOLD}, None)
    house.clock.now += 2 * 3_600_000 - 60_000  # the first full hour is almost an hour ago
    await house.app.policies.start_due()
    await house.settle()

    missed = [event for event in posts.events if event["type"] == "stillframe.schedule.missed"]
    assert [event["data"]["schedule"] for event in missed] == ["hourly"]
    assert "start_within_ms allows 600 s" in missed[0]["data"]["why"]
