"""The queues unreachable while something is held: the budget counts, and the truth is told late and once."""

import pytest

from tests.integration.agent.app_side import App, hook, hooks, runs, script, until
from tests.integration.agent.box import Box, eventually_written
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub

BUDGET_MS = 5_000


@pytest.mark.world
def test_an_order_that_cannot_come_leaves_it_to_the_dead_man_and_the_ack_is_kept(
    box: Box, app: App, stub: QueueStub
) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(freeze_budget_ms=BUDGET_MS, quiesce_timeout_ms=BUDGET_MS - 100, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    stub.down = True
    app.resume()  # it lies in a queue that the guest does not reach
    eventually_written(box, data)
    journal = box.inside(box.state / "state.json")
    until(lambda: '"Resumed"' in journal.read_text(), "the ack in the journal")
    until(lambda: runs(box.folder, "post") == ["1"], "the post-script")
    assert app.collect()[-1].kind == "quiesced", "nothing more came through"
    stub.down = False
    told = app.unasked()
    late = app.answer()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert [held["held_until_order"] for held in told.body["held"]] == [False, True], "the kernel too"
    assert told.body["window_ms"] >= BUDGET_MS
    assert late.body == told.body
    assert [ack.kind for ack in app.collect()] == ["ready", "quiesced", "resumed", "resumed"]
    assert runs(box.folder, "post") == ["1"]


@pytest.mark.world
def test_what_was_held_and_let_go_unheard_is_told_in_its_order(box: Box, app: App, stub: QueueStub) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    pre = hook(box.folder, "pre", f"until [ -e {box.folder}/go ]; do sleep 0.02; done")
    post = script(hook(box.folder, "post"))
    app.quiesce(freeze_budget_ms=6_000, quiesce_timeout_ms=5_900, pre_script=script(pre), post_script=post)
    until(lambda: runs(box.folder, "pre"), "the pre-script")

    stub.down = True
    (box.folder / "go").touch()
    journal = box.inside(box.state / "state.json")
    until(lambda: '"Resumed"' in journal.read_text(), "both acks in the journal")
    eventually_written(box, data)
    stub.down = False
    told = app.unasked()

    assert [ack.kind for ack in app.collect()] == ["ready", "quiesced", "resumed"]
    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert runs(box.folder, "post") == ["1"]


def test_an_agent_that_is_killed_before_the_queue_is_back_has_its_ack_sent_by_the_next(
    local_agent: LocalAgent, app: App, stub: QueueStub
) -> None:
    folder = local_agent.state.parent
    first = local_agent.start(app, stay=True)
    app.answer()
    app.quiesce(
        filesystems="none", freeze_budget_ms=BUDGET_MS, quiesce_timeout_ms=BUDGET_MS - 100, **hooks(folder)
    )
    assert app.answer().kind == "quiesced"
    stub.down = True
    until(lambda: '"Resumed"' in (local_agent.state / "state.json").read_text(), "the ack in the journal")
    first.kill()
    first.wait()

    local_agent.start(app, stay=True)
    until(lambda: "an earlier agent left phase" in local_agent.log(), "the next agent")
    stub.down = False
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert app.answer().kind == "ready"
    assert runs(folder, "post") == ["1"]
