import base64
import contextlib
import json
import signal
import socket
from dataclasses import replace

import pytest

from local import azurite
from tests.integration.functions_host.conftest import RunningHost, StartHost, eventually

pytestmark = pytest.mark.azurite


def _listens(host: RunningHost) -> bool:
    address = host.url.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((address[0], int(address[1])), 1):
        return True
    return False


def test_a_message_runs_its_function_once_and_is_deleted(start_host: StartHost) -> None:
    host = start_host("echo")

    host.send("echo", "good morning")

    [seen] = eventually(lambda: host.notes("echo", "seen"))
    assert (seen["body"], seen["dequeue_count"]) == ("good morning", 1)
    eventually(lambda: host.size("echo") == 0)
    assert host.count("echo") == (1, 0)


def test_a_failing_message_is_retried_after_the_visibility_timeout_then_poisoned(
    start_host: StartHost,
) -> None:
    host = start_host("failing")

    host.send("failing", "nonsense")

    eventually(lambda: host.size("failing-poison") == 1)
    assert [note["dequeue_count"] for note in host.notes("failing", "seen")] == [1, 2]
    assert base64.b64decode(host.texts("failing-poison")[0]) == b"nonsense"
    eventually(lambda: host.size("failing") == 0)
    assert host.count("failing") == (2, 2)
    assert "cannot work with nonsense" in host.log


def test_an_undecodable_message_is_poisoned_raw_without_running_the_function(start_host: StartHost) -> None:
    host = start_host("echo")

    host.queue("echo").send_message("not base64!")

    eventually(lambda: host.texts("echo-poison") == ["not base64!"])
    eventually(lambda: host.size("echo") == 0)
    assert host.notes("echo", "seen") == []
    assert "Message has reached MaxDequeueCount" in host.log


def test_members_of_a_json_body_override_the_messages_own_metadata(start_host: StartHost) -> None:
    host = start_host("echo")

    host.send("echo", json.dumps({"ID": "op-1", "dequeueCount": "7", "list": [1]}))

    [seen] = eventually(lambda: host.notes("echo", "seen"))
    assert (seen["id"], seen["dequeue_count"]) == ("op-1", 7)


def test_a_body_member_that_is_no_time_makes_the_message_poison(start_host: StartHost) -> None:
    host = start_host("echo")

    host.send("echo", json.dumps({"insertionTime": "garbage"}))

    eventually(lambda: host.size("echo-poison") == 1)
    assert host.notes("echo", "seen") == []
    assert host.count("echo") == (2, 2)


def test_no_more_than_batch_and_threshold_run_at_once(start_host: StartHost) -> None:
    host = start_host("gated", preload={"gated": ["all"] * 12})

    # Four are received, and four more only once no more than two of them are left.
    eventually(lambda: len(host.notes("gated", "started")) == 4)
    eventually(lambda: host.count("gated")[0] == 4)
    assert len(host.queue("gated").peek_messages(32)) == 8

    host.open_gate("gate-all")
    eventually(lambda: len(host.notes("gated", "ended")) == 12)
    eventually(lambda: host.size("gated") == 0)


def test_the_next_batch_is_fetched_as_soon_as_the_threshold_is_reached(start_host: StartHost) -> None:
    host = start_host("gated", preload={"gated": ["a", "a", *["b"] * 6]})
    eventually(lambda: len(host.notes("gated", "started")) == 4)

    host.open_gate("gate-a")

    # Two of the first four go on: with two running, four more are received.
    eventually(lambda: len(host.notes("gated", "started")) == 8)
    assert len(host.notes("gated", "ended")) == 2
    host.open_gate("gate-b")
    eventually(lambda: host.size("gated") == 0)


def test_a_blocked_worker_does_not_stop_the_other_functions_polling(start_host: StartHost) -> None:
    host = start_host("blocking", "echo")
    host.send("blocking", "x")
    eventually(lambda: host.notes("blocking", "started"))

    host.send("echo", "y")

    # Received, and so hidden, while the worker's loop is blocked; run when the loop is free again.
    eventually(lambda: host.texts("echo") == [])
    assert host.notes("echo", "seen") == []
    assert host.call("GET", "/admin/host/status").status == 200
    host.open_gate("gate-blocking")
    eventually(lambda: host.notes("echo", "seen"))


def test_a_running_message_is_kept_hidden_beyond_its_invisibility(start_host: StartHost) -> None:
    settings = {"STILLFRAME_TEST_DEQUEUE_INVISIBILITY": "4"}
    host = start_host("blocking", settings=settings)
    host.send("blocking", "x")
    eventually(lambda: host.notes("blocking", "started"))
    # A message with a visibility delay of 6 s is the clock: when it shows, the 4 s are over.
    clock = host.queue("clock")
    clock.send_message("x", visibility_timeout=6)
    eventually(lambda: clock.peek_messages(1))

    assert host.queue("blocking").peek_messages(1) == []
    host.open_gate("gate-blocking")
    eventually(lambda: host.size("blocking") == 0)
    assert len(host.notes("blocking", "started")) == 1


def test_a_killed_hosts_message_comes_back_when_its_invisibility_ends(start_host: StartHost) -> None:
    settings = {"STILLFRAME_TEST_DEQUEUE_INVISIBILITY": "3"}
    host = start_host("gated", settings=settings)
    host.send("gated", "later")
    eventually(lambda: host.notes("gated", "started"))

    host.end(signal.SIGKILL)
    host.open_gate("gate-later")
    second = start_host("gated", settings=settings, like=host)

    eventually(lambda: second.notes("gated", "ended"))
    assert [note["dequeue_count"] for note in second.notes("gated", "started")] == [1, 2]


def test_on_sigterm_a_running_function_is_let_finish_and_its_message_deleted(start_host: StartHost) -> None:
    host = start_host("gated")
    host.send("gated", "slow")
    eventually(lambda: host.notes("gated", "started"))

    host.process.send_signal(signal.SIGTERM)
    host.send("gated", "too late")
    host.open_gate("gate-slow")

    assert host.process.wait(30) == 0
    assert [note["body"] for note in host.notes("gated", "ended")] == ["slow"]
    assert [base64.b64decode(text) for text in host.texts("gated")] == [b"too late"]


def test_the_drain_endpoint_stops_the_listeners_and_tells_when_all_is_done(start_host: StartHost) -> None:
    host = start_host("gated", "hello")
    host.send("gated", "slow")
    eventually(lambda: host.notes("gated", "started"))

    assert host.call("POST", "/admin/host/drain").status == 202
    host.send("gated", "too late")

    state = json.loads(host.call("GET", "/admin/host/drain/status").body)
    assert (state["state"], state["outstandingInvocations"]) == ("InProgress", 1)
    host.open_gate("gate-slow")
    eventually(lambda: json.loads(host.call("GET", "/admin/host/drain/status").body)["state"] == "Completed")
    assert host.call("GET", "/api/hello/you").status == 203
    assert len(host.notes("gated", "started")) == 1


def test_a_function_that_never_returns_cannot_hold_the_host(start_host: StartHost) -> None:
    host = start_host("threaded", arguments=["--drainTimeout", "0.2"])
    host.send("threaded", "x")
    eventually(lambda: host.notes("threaded", "started"))

    assert host.end() == 0
    assert "did not end in time" in host.log


def test_a_second_signal_cuts_the_draining_short(start_host: StartHost) -> None:
    host = start_host("gated")
    host.send("gated", "never")
    eventually(lambda: host.notes("gated", "started"))

    host.process.send_signal(signal.SIGINT)
    eventually(lambda: not _listens(host))
    assert host.end(signal.SIGINT) == 0


def test_messages_are_received_again_after_the_storage_was_away(start_host: StartHost) -> None:
    with azurite.running() as emulator:
        port = emulator.queue_port
        host = start_host("echo", settings={"AzureWebJobsStorage": emulator.connection_string})
        first = replace(host, connection=emulator.connection_string, _clients={})
        first.send("echo", "before")
        eventually(lambda: len(host.notes("echo", "seen")) == 1)
        emulator.kill()
        eventually(lambda: "cannot be polled" in host.log)
    with azurite.running(queue=port) as emulator:
        second = replace(host, connection=emulator.connection_string, _clients={})
        second.send("echo", "after")
        eventually(lambda: len(host.notes("echo", "seen")) == 2)


def test_a_function_that_exits_ends_its_worker_and_not_the_host(start_host: StartHost) -> None:
    host = start_host("failing", "echo")
    host.send("failing", "exit")

    eventually(lambda: host.size("failing-poison") == 1)
    host.send("echo", "still here")

    [seen] = eventually(lambda: host.notes("echo", "seen"))
    assert seen["import"] not in [note["import"] for note in host.notes("failing", "seen")]
    assert host.count("failing") == (2, 2)


def test_after_a_function_timeout_the_worker_is_replaced_and_the_app_imported_anew(
    start_host: StartHost,
) -> None:
    host = start_host(
        "blocking",
        "echo",
        settings={
            "AzureFunctionsJobHost__functionTimeout": "00:00:01",
            "AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "1",
        },
    )
    host.send("echo", "before")
    [before] = eventually(lambda: host.notes("echo", "seen"))

    host.send("blocking", "x")
    eventually(lambda: host.size("blocking-poison") == 1)
    host.send("echo", "after")

    _, after = eventually(lambda: (notes := host.notes("echo", "seen"))[1:] and notes)
    assert before["import"] != after["import"]
    assert host.count("blocking") == (1, 1)
    assert "timed out after 1 s" in host.log


@pytest.mark.parametrize(
    ("kind", "given", "sent"),
    [
        ("list", b'["one", "{\\"a\\": 1}"]', ["one", '{"a": 1}']),
        ("text", b"plain", ["plain"]),
        ("text", b'[1, "two", true, null]', ["1", "two", "True", ""]),
        (
            "text",
            b'{"a":[1,{"b":"\xc3\xa4"}]}',
            ['{\n  "a": [\n    1,\n    {\n      "b": "ä"\n    }\n  ]\n}'],
        ),
        ("bytes", b'{"a":1}', ['{"a":1}']),
    ],
)
def test_outputs_become_messages_as_the_real_host_makes_them(
    start_host: StartHost, kind: str, given: bytes, sent: list[str]
) -> None:
    host = start_host("emit")

    assert host.call("POST", f"/api/emit/{kind}", given).status == 202

    assert sorted(base64.b64decode(text).decode() for text in host.texts("shapes")) == sorted(sent)


def test_an_output_that_only_looks_like_json_fails_the_invocation(start_host: StartHost) -> None:
    host = start_host("emit")

    assert host.call("POST", "/api/emit/text", b"{not json}").status == 500

    assert host.size("shapes") == 0
    assert host.count("emit") == (1, 1)


def test_log_lines_of_functions_carry_their_name_and_invocation_id(start_host: StartHost) -> None:
    host = start_host("echo", "threaded")
    host.open_gate("gate-threaded")
    host.send("echo", "ping")
    host.send("threaded", "pong")

    eventually(lambda: "echo sees ping" in host.log and "threaded sees pong" in host.log)
    for text, function in (("echo sees ping", "echo"), ("threaded sees pong", "threaded")):
        [line] = [line for line in host.log.splitlines() if text in line]
        assert line.split()[2] == function
        assert len(line.split()[3]) == 36


def test_a_refused_key_stops_the_host_with_an_error(start_host: StartHost) -> None:
    host = start_host("echo")
    host.end()
    wrong = host.connection.replace("AccountKey=Eby8", "AccountKey=Eby9")

    refused = start_host("echo", settings={"AzureWebJobsStorage": wrong}, like=host, wait=False)

    assert refused.process.wait(30) == 1
    assert "the host stops" in refused.log
