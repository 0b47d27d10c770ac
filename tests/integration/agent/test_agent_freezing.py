"""Real filesystems, really frozen; and everything killed that can be killed while they are."""

import os
import signal
import time

import pytest

from tests.integration.agent.app_side import App, hook, hooks, runs, script, until
from tests.integration.agent.box import Box, eventually_written

pytestmark = pytest.mark.world


def test_all_disks_are_held_until_the_order_and_the_kernel_bears_witness(
    box: Box, app: App, every_python: str
) -> None:
    data, log = box.disk("data"), box.disk("log")
    box.agent(app, every_python, (data, log))
    ready = app.answer()
    app.quiesce(**hooks(box.folder))

    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body
    assert not box.can_write(data)
    assert not box.can_write(log)
    app.resume()
    resumed = app.answer()

    assert ready.body["boot_id"] == quiesced.body["boot_id"] == resumed.body["boot_id"]
    assert app.held(quiesced) == [
        {"kind": "script", "name": str(box.folder / "pre"), "mode": ""},
        {"kind": "filesystem", "name": str(data), "mode": ""},
        {"kind": "filesystem", "name": str(log), "mode": ""},
    ]
    assert (resumed.body["released_by"], resumed.body["held_until_order"]) == ("order", True)
    assert [held["held_until_order"] for held in resumed.body["held"]] == [True, True, True]
    for held, released in zip(quiesced.body["held"][1:], resumed.body["held"][1:], strict=True):
        assert 0 <= held["took_ms"] <= quiesced.body["quiesce_ms"]
        assert 0 <= released["held_ms"] <= resumed.body["window_ms"]
    assert runs(box.folder, "pre") == runs(box.folder, "post") == ["1"]
    assert box.can_write(data)
    assert box.can_write(log)


def test_the_dead_man_lets_go_when_the_budget_is_spent(box: Box, app: App, python: str) -> None:
    data = box.disk("data")
    box.agent(app, python, (data,))
    app.quiesce(freeze_budget_ms=4_000, quiesce_timeout_ms=3_500, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    told = app.unasked()
    app.resume()
    late = app.answer()

    assert (told.kind, told.body["released_by"]) == ("resumed", "dead-man")
    assert not told.body["held_until_order"]
    assert late.body == told.body
    assert runs(box.folder, "post") == ["1"]
    assert box.can_write(data)


def test_the_agents_death_while_frozen_releases_at_once_and_its_next_start_tells(
    box: Box, app: App, python: str
) -> None:
    data = box.disk("data")
    box.agent(app, python, (data,))
    app.quiesce(freeze_budget_ms=300_000, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    box.kill(box.agents())
    eventually_written(box, data)
    until(lambda: runs(box.folder, "post") == ["1"], "the post-script")
    box.agent(app, python, (data,), command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert runs(box.folder, "post") == ["1"]
    assert app.answer().kind == "ready"


def test_the_dead_mans_death_while_frozen_is_answered_by_the_agent_at_once(
    box: Box, app: App, python: str
) -> None:
    data = box.disk("data")
    box.agent(app, python, (data,))
    app.quiesce(freeze_budget_ms=300_000, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    box.kill(box.dead_men())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("agent", False)
    assert runs(box.folder, "post") == ["1"]
    assert box.can_write(data)


def test_a_second_generation_gets_a_new_dead_man(box: Box, app: App) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(freeze_budget_ms=300_000)
    assert app.answer().kind == "quiesced"
    box.kill(box.dead_men())
    assert app.unasked().body["released_by"] == "agent"

    app.quiesce(generation=2)
    assert app.answer().kind == "quiesced"
    app.resume(generation=2)

    assert app.answer().body["held_until_order"]


def test_both_killed_while_frozen_the_next_start_releases_and_tells(box: Box, app: App, python: str) -> None:
    data, log = box.disk("data"), box.disk("log")
    box.agent(app, python, (data, log))
    app.quiesce(freeze_budget_ms=300_000, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    dead_men = box.dead_men()
    box.kill(dead_men + box.agents(), signal.SIGSTOP)  # so that neither sees the other die
    box.kill(dead_men + box.agents())
    until(lambda: not box.agents() and not box.dead_men(), "their end")
    assert not box.can_write(data)
    box.agent(app, python, (data, log), command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("restart", False)
    assert runs(box.folder, "post") == ["1"]
    assert box.can_write(data)
    assert box.can_write(log)


def test_a_guest_that_was_paused_past_its_budget_is_neither_left_frozen_nor_called_proved(
    box: Box, app: App
) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(freeze_budget_ms=12_000, quiesce_timeout_ms=11_000)
    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body

    everybody = box.agents() + box.dead_men()
    box.kill(everybody, signal.SIGSTOP)
    app.resume()
    spent = time.monotonic() + quiesced.body["budget_left_ms"] / 1000 + 0.1
    until(lambda: time.monotonic() > spent, "the budget to be spent")
    box.kill(everybody, signal.SIGCONT)

    assert not app.answer().body["held_until_order"]
    eventually_written(box, data)


def test_a_stopped_dead_man_is_replaced_by_the_agent(box: Box, app: App) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(freeze_budget_ms=300_000, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    box.kill(box.dead_men(), signal.SIGSTOP)
    app.resume()
    resumed = app.answer()

    assert (resumed.body["released_by"], resumed.body["held_until_order"]) == ("order", True)
    assert runs(box.folder, "post") == ["1"]
    assert box.can_write(data)


def test_a_stopped_agent_does_not_stop_the_dead_man(box: Box, app: App) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(freeze_budget_ms=4_000, quiesce_timeout_ms=3_500, **hooks(box.folder))
    assert app.answer().kind == "quiesced"

    box.kill(box.agents(), signal.SIGSTOP)
    eventually_written(box, data)
    until(lambda: runs(box.folder, "post") == ["1"], "the post-script")
    box.kill(box.agents(), signal.SIGCONT)

    assert app.unasked().body["released_by"] == "dead-man"
    assert runs(box.folder, "post") == ["1"]


def test_a_disk_thawed_behind_our_back_breaks_the_proof(box: Box, app: App, python: str) -> None:
    data, log = box.disk("data"), box.disk("log")
    box.agent(app, python, (data, log))
    app.quiesce()
    assert app.answer().kind == "quiesced"

    assert box.thaw(data)
    app.resume()
    resumed = app.answer()

    assert (resumed.body["released_by"], resumed.body["held_until_order"]) == ("order", False)
    witness = {held["name"]: held["held_until_order"] for held in resumed.body["held"]}
    assert witness == {str(data): False, str(log): True}
    assert "before" in resumed.body["held"][0]["detail"]


def test_a_disk_that_another_froze_is_never_thawed(box: Box, app: App, python: str) -> None:
    data, log = box.disk("data"), box.disk("log")
    box.fsfreeze(log)
    box.agent(app, python, (data, log))
    app.quiesce(**hooks(box.folder))
    failed = app.answer()

    assert (failed.kind, failed.body["reason"]) == ("quiesce_failed", "already_frozen")
    assert str(log) in failed.body["detail"]
    assert failed.body["released"]
    assert box.can_write(data)
    assert not box.can_write(log)
    assert runs(box.folder, "post") == ["1"]
    assert box.thaw(log), "it was still frozen"


def test_a_freeze_that_blocks_stops_no_thaw(box: Box, app: App, python: str) -> None:
    lower = box.disk("lower", megabytes=64)
    upper = box.disk("upper", on=lower)
    box.run("dd", "if=/dev/zero", f"of={upper}/dirty", "bs=1M", "count=4", "status=none")
    box.agent(app, python, (lower, upper))
    app.quiesce(quiesce_timeout_ms=4_000, **hooks(box.folder))
    failed = app.answer()

    assert (failed.kind, failed.body["reason"]) == ("quiesce_failed", "quiesce_timeout"), failed.body
    eventually_written(box, lower)
    eventually_written(box, upper)
    assert runs(box.folder, "post") == ["1"]


def test_a_freeze_that_blocks_is_undone_even_if_the_dead_man_is_killed_in_it(box: Box, app: App) -> None:
    lower = box.disk("lower", megabytes=64)
    upper = box.disk("upper", on=lower)
    box.run("dd", "if=/dev/zero", f"of={upper}/dirty", "bs=1M", "count=4", "status=none")
    box.agent(app, mounts=(lower, upper))
    app.quiesce(quiesce_timeout_ms=5_000, **hooks(box.folder))
    journal = box.inside(box.state / "freezes")
    until(lambda: journal.exists() and '"mount": 1' in journal.read_text(), "the second freeze")

    box.kill(box.dead_men())
    failed = app.answer()

    assert failed.kind == "quiesce_failed"
    eventually_written(box, lower)
    eventually_written(box, upper)
    assert runs(box.folder, "post") == ["1"]


def test_disks_found_by_rule_are_held_and_the_rest_is_named(box: Box, app: App) -> None:
    not_ours = box.mount_points()  # a box begins with a copy of all that is mounted outside
    data = box.disk("data")
    box.agent(app, mounts=None, STILLFRAME_SKIP_MOUNTS=os.pathsep.join(not_ours))
    app.quiesce()
    quiesced = app.answer()
    app.resume()

    assert quiesced.kind == "quiesced", quiesced.body
    assert {"kind": "filesystem", "name": str(data), "mode": ""} in app.held(quiesced)
    assert {"kind": "filesystem", "name": "/", "reason": "skipped_by_administrator"} in quiesced.body[
        "not_held"
    ]
    assert app.answer().body["held_until_order"]


def test_a_mount_that_is_not_there_fails_before_any_script_runs(box: Box, app: App) -> None:
    box.agent(app, mounts=(box.folder / "absent",))
    app.quiesce(**hooks(box.folder))
    failed = app.answer()

    assert (failed.kind, failed.body["reason"]) == ("quiesce_failed", "mount_unusable")
    assert runs(box.folder, "pre") == runs(box.folder, "post") == []


def test_a_pre_script_that_hangs_is_killed_and_its_post_script_runs(box: Box, app: App) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    pre = hook(box.folder, "pre", f"trap '' TERM\nsleep 600\necho late >> {box.folder}/pre.runs")
    app.quiesce(pre_script=script(pre, timeout_ms=500), post_script=script(hook(box.folder, "post")))
    failed = app.answer()

    assert (failed.body["reason"], failed.body["script"]["timed_out"]) == ("script_timed_out", True)
    assert runs(box.folder, "pre") == runs(box.folder, "post") == ["1"]
    assert box.can_write(data)


def test_the_agents_death_in_its_pre_script_kills_that_and_runs_the_post_script(box: Box, app: App) -> None:
    box.agent(app, mounts=(box.disk("data"),))
    pre = hook(box.folder, "pre", f"sleep 5 >/dev/null\necho late >> {box.folder}/pre.runs")
    app.quiesce(pre_script=script(pre), post_script=script(hook(box.folder, "post")))
    until(lambda: runs(box.folder, "pre") == ["1"], "the pre-script")

    box.kill(box.agents())
    until(lambda: runs(box.folder, "post") == ["1"], "the post-script")
    until(lambda: "sleep" not in box.run("ps", "-A", "-o", "comm="), "the pre-script's end")

    assert runs(box.folder, "pre") == ["1"]


def test_a_stopping_system_lets_go(box: Box, app: App) -> None:
    data = box.disk("data")
    box.agent(app, mounts=(data,))
    app.quiesce(**hooks(box.folder))
    assert app.answer().kind == "quiesced"

    box.kill(box.agents(), signal.SIGTERM)
    told = app.unasked()

    assert told.body["released_by"] == "agent"
    assert box.can_write(data)
    until(lambda: not box.agents(), "the agent's end")
