"""The page in a browser: a run of 400 VMs, live; by keyboard, for screen readers, and with hostile names.

With ``PAGE_SHOTS=folder`` pictures and the figures of docs/verified.md are written there.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from local.functions_host.keys import Keys
from local.stack.stack import Stack, StackOptions
from shared.storage.connection import read_connection
from shared.storage.runs import RunTable
from shared.storage.tables import Tables
from shared.triggers.rights import FUNCTIONS, Right
from tests.e2e.browser import Watched, chromium, watched
from tests.e2e.page_answers import Answers
from tests.e2e.page_scripts import FOCUSED, NAMELESS, POOR_CONTRAST, SCROLLING
from tests.e2e.page_seed import HOSTILE, POLICY, RUN, Seeded, ended_well, seed
from tests.e2e.scene import plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

VMS = 400
NEVER = "0 0 3 1 1 *"
KEY = "the read key"
OPTIONS = StackOptions(
    settings={
        "STILLFRAME_SWEEP_TIMER": NEVER,
        "STILLFRAME_SCHEDULES_TIMER": NEVER,
    },  # what is late stays late
    keys=Keys(
        master="the master key",
        host={"default": "the host key"},
        functions={name: {"read": KEY} for name in FUNCTIONS[Right.READ]},
    ),
)
SHOTS = os.environ.get("PAGE_SHOTS")

expect.set_options(timeout=30_000)
PRINTS = '#!/bin/sh\nprintf "%s" "</pre><script>alert(9)</script><img src=x onerror=alert(9)>"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@asynccontextmanager
async def tables(stack: Stack) -> AsyncIterator[Tables]:
    opened = Tables(read_connection("S", {"S": stack.storage.connection_string}))
    try:
        yield opened
    finally:
        await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeded(stack: Stack) -> Seeded:
    async with tables(stack) as opened:
        return await seed(opened, time.time_ns() // 1_000_000, VMS, stack.world.subscription_id)


@asynccontextmanager
async def opened(browser: Browser, stack: Stack, place: str = "", **options: Any) -> AsyncIterator[Watched]:
    """Open the page at ``place`` with the key typed in."""
    async with watched(browser, stack.api.base, **options) as seen:
        await seen.page.goto(f"{stack.api.base}/api/ui{place}")
        await seen.page.get_by_label("Access key").fill(KEY)
        await seen.page.keyboard.press("Enter")
        seen.expected("401")
        yield seen
        assert [each.url for each in seen.requests if KEY.replace(" ", "%20") in each.url] == []


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png")


def row(page: Page, name: str) -> Any:
    return page.locator("ul.vms > li", has=page.get_by_role("link", name=name, exact=True))


async def test_the_page_loads_without_a_key_and_asks_for_it(stack: Stack, browser: Browser) -> None:
    async with watched(browser, stack.api.base) as seen:
        await seen.page.goto(f"{stack.api.base}/api/ui#/runs/{RUN}")
        key = seen.page.get_by_label("Access key")
        await expect(key).to_be_focused()
        await key.fill("a wrong key")
        await key.press("Enter")
        await expect(seen.page.get_by_role("alert")).to_contain_text("does not open")
        assert await seen.page.evaluate("sessionStorage.length + localStorage.length") == 0
        await shot(seen.page, "key")
        seen.expected("401")


async def test_a_run_of_400_vms_shows_overdue_and_failed_first_and_changes_live(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page = seen.page
        await expect(page.get_by_role("heading", level=1)).to_have_text(POLICY)
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        kinds = await page.locator("ul.vms > li").evaluate_all("rows => rows.map(row => row.className)")
        assert kinds[0] == "overdue"
        assert sorted(set(kinds), key=kinds.index) == [
            "overdue", "failed", "degraded", "running", "pending", "succeeded",
        ]  # fmt: skip
        first_failed = page.locator("ul.vms > li.failed").first
        await expect(first_failed).to_contain_text("failed in capturing")
        await expect(first_failed).to_contain_text("was not there within the freeze budget")
        await expect(first_failed).to_contain_text("Look at the limits of the disk's type")
        group = page.get_by_role("list", name="Groups whose VMs are to share one instant").locator("> li")
        await expect(group).to_have_text(
            "! shop None of its VMs keeps a recovery point of one instant. "
            f"{HOSTILE[-1]}: its pre-script failed."
        )
        asked = [each.url for each in seen.requests if "/timeline" in each.url]
        assert len(asked) < 10, "one request for the run, not one for each VM"
        await shot(page, "run-light")

        goes_on = next(entry for entry in seeded.going_on if entry.vm_id.endswith("sql-007") is False)
        name = goes_on.vm_id.rpartition("/")[2]
        said = page.locator("#say")
        async with tables(stack) as storage:
            runs = RunTable(storage)
            await runs.end_entry(RUN, ended_well(goes_on, seeded.began))
            await expect(row(page, name)).not_to_have_class("running", timeout=30_000)
            await expect(said).to_be_empty()  # that one more went well is nothing to interrupt for
            failing = seeded.going_on[5]
            await runs.end_entry(
                RUN, replace(failing, outcome="failed", problem="The VM is gone.", step="preflight")
            )
            await expect(said).to_contain_text(failing.vm_id.rpartition("/")[2], timeout=30_000)
        await expect(row(page, failing.vm_id.rpartition("/")[2])).to_have_class("failed")
        since = [each.url for each in seen.requests if "since=" in each.url]
        assert since, "what has ended is not asked for again"


async def test_the_numbers_are_there_as_text_and_as_a_table(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}?find=sql-000") as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(1)
        await expect(page.locator("ul.vms > li")).to_contain_text(
            "held 900 ms, limit 30.0 s, 2 of 2 snapshots inside"
        )
        await page.get_by_role("button", name="Numbers as a table").click()
        cells = page.get_by_role("table", name="Times of the VMs").get_by_role("row").nth(1)
        await expect(cells.get_by_role("rowheader")).to_have_text("sql-000")
        for text in ("succeeded", "application", "900 ms", "30.0 s", "2 of 2", "order"):
            await expect(cells.get_by_role("cell", name=text, exact=True)).to_have_count(1)
        drawn = page.locator("ul.vms svg.bar")
        assert await drawn.locator("rect.held").count() == 1
        assert await drawn.locator("line.tick").count() == 2
        assert await drawn.locator("line.limit").count() == 1


async def test_everything_is_reached_by_keyboard(stack: Stack, browser: Browser, seeded: Seeded) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page, keys = seen.page, seen.page.keyboard
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        await page.reload()  # with the key, and nothing in focus
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        visited = []
        for _ in range(30):
            await keys.press("Tab")
            visited.append(await page.evaluate(FOCUSED))
            if visited[-1].startswith("VM "):
                break
        assert "Skip to the content" in visited[0]
        for name in ("Runs", "Recovery points", "Policies", "find", "axis", "Numbers as a table"):
            assert any(name in each for each in visited), (name, visited)
        first = await page.locator("ul.vms > li a").first.text_content()
        assert visited[-1] == f"VM {first}"
        await keys.press("Tab")
        assert not (await page.evaluate(FOCUSED)).startswith("VM "), "the list is one stop"
        await keys.press("Shift+Tab")
        await keys.press("ArrowDown")
        await keys.press("ArrowDown")
        await keys.press("ArrowUp")
        second = await page.locator("ul.vms > li a").nth(1).text_content()
        assert await page.evaluate(FOCUSED) == f"VM {second}"
        await keys.press("End")
        last = page.locator("ul.vms > li").last
        assert await page.evaluate(FOCUSED) == f"VM {await last.locator('a').text_content()}"
        await expect(last).to_be_in_viewport()
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await shot(page, "keyboard")
        await keys.press("Home")
        await keys.press("Enter")
        await page.wait_for_url("**/vms/*")
        await expect(page.get_by_role("heading", level=1)).to_have_text(str(first))
        await page.go_back()
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)


async def test_screen_readers_find_landmarks_names_and_one_polite_region(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        for role in ("banner", "main"):
            await expect(page.get_by_role(role)).to_have_count(1)
        await expect(page.get_by_role("navigation", name="Parts of the page")).to_have_count(1)
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        await expect(page.get_by_role("list", name="VMs of the run, overdue and failed first")).to_have_count(
            1
        )
        await expect(page.get_by_role("status")).to_have_count(1)
        nameless = await page.evaluate(NAMELESS)
        assert nameless == []
        drawn = page.locator("svg")
        assert await drawn.count() == await page.locator("svg[aria-hidden=true]").count()
        tree = await page.locator("ul.vms > li.failed").first.aria_snapshot()
        assert "failed in capturing" in tree
        assert "held 30.0 s" in tree


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_both_schemes_have_enough_contrast(
    stack: Stack, browser: Browser, seeded: Seeded, scheme: Any
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}", color_scheme=scheme) as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        assert await page.evaluate(POOR_CONTRAST) == []
        await shot(page, f"run-{scheme}-system")
        other = "Light" if scheme == "dark" else "Dark"
        before = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name=other, exact=True).click()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        assert await page.evaluate(POOR_CONTRAST) == []
        await page.reload()
        await expect(page.get_by_role("button", name=scheme.capitalize(), exact=True)).to_be_visible()


@pytest.mark.parametrize("width", [360, 768, 1920])
async def test_nothing_runs_out_of_the_page_at_any_width(
    stack: Stack, browser: Browser, seeded: Seeded, width: int
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}", viewport={"width": width, "height": 800}) as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        await shot(page, f"run-{width}")
        for place in (f"#/runs/{RUN}", "#/runs", "#/points", "#/policies"):
            await page.evaluate("place => { location.hash = place }", place)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, place
        seen.expected("Failed to load resource")


async def test_hostile_names_and_sentences_are_text_and_nothing_else(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        names = await page.locator("ul.vms > li a").all_text_contents()
        for hostile in HOSTILE:
            assert hostile.replace("\u202e", "\\u202e") in names
        assert await page.locator("main img, main script, main iframe").count() == 0
        await page.get_by_role("button", name="Numbers as a table").click()
        await expect(page.get_by_role("rowheader", name=HOSTILE[0], exact=True)).to_have_count(1)
        assert await page.locator("main img, main script").count() == 0
        odd = await page.locator("main a").evaluate_all(
            "links => links.map(link => link.getAttribute('href')).filter(href => !href.startsWith('#/'))"
        )
        assert odd == []


async def test_what_a_script_printed_is_shown_as_it_is_with_times_and_evidence(
    stack: Stack, browser: Browser
) -> None:
    vm = await plain_vm(stack, "prints", data_disks=1)
    guest = vm.guest_processing(pre_script={"content": PRINTS}, post_script={"content": "#!/bin/sh\n"})
    run = await stack.api.start_run({"vms": [vm.id], "guest_processing": guest})
    view = (await stack.api.ended(run, within_s=120))["vms"][0]
    assert view["outcome"] in ("succeeded", "degraded"), view
    async with opened(browser, stack, f"#/runs/{run}/vms/prints") as seen:
        page = seen.page
        await expect(page.get_by_role("heading", level=1)).to_have_text("prints")
        await expect(page.get_by_role("table", name="Phases")).to_contain_text("capturing")
        windows = page.get_by_role("table", name="Freeze windows")
        await expect(windows).to_contain_text("30.0 s")
        await expect(windows).to_contain_text("order")
        await page.get_by_text("Evidence", exact=True).click()
        printed = page.get_by_label("What the pre-script printed")
        await expect(printed).to_have_text("</pre><script>alert(9)</script><img src=x onerror=alert(9)>")
        assert await page.locator("main img, main script").count() == 0
        await page.evaluate("scrollTo(0, 0)")
        await shot(page, "vm")
        await page.evaluate("location.hash = '#/points?vm=prints'")
        points = page.get_by_role("list", name="Recovery points, newest first").locator("> li")
        await expect(points).to_have_count(1)
        await points.get_by_text("Why this grade").click()
        await points.get_by_role("link", name="Evidence, times and history").click()
        await expect(page.get_by_role("table", name="Phases")).to_be_visible()
        await page.evaluate("location.hash = '#/runs'")
        await page.locator(f"[data-run='{run}'] a").click()
        await expect(page.locator("ul.vms > li")).to_contain_text("prints")


async def test_a_hidden_tab_asks_nothing_and_a_line_that_is_back_is_noticed(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        await page.route("**/timeline*", lambda route: route.abort())
        await expect(page.locator("#link")).to_contain_text("does not answer", timeout=30_000)
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        await page.unroute("**/timeline*")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#link")).to_have_text("live", timeout=30_000)
        seen.expected("ERR_FAILED")
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await expect(page.locator("#link")).to_have_text("paused", timeout=30_000)
        asked = len(seen.requests)
        await page.evaluate("delete document.hidden")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#link")).to_have_text("live", timeout=30_000)
        assert len(seen.requests) > asked


@asynccontextmanager
async def answered(
    browser: Browser, stack: Stack, place: str, now: datetime
) -> AsyncIterator[tuple[Page, Answers]]:
    """Open a part of the page whose calls are answered by their contract."""
    answers = Answers(now)
    async with watched(browser, stack.api.base) as seen:
        await answers.serve(seen.page)
        await seen.page.add_init_script(f"sessionStorage.setItem('stillframe-key', '{KEY}')")
        await seen.page.goto(f"{stack.api.base}/api/ui{place}")
        yield seen.page, answers
        assert await seen.page.locator("main img, main script").count() == 0


async def test_the_point_of_a_day_is_two_steps_away_and_says_why_it_has_its_grade(
    stack: Stack, browser: Browser
) -> None:
    now = datetime.now().astimezone().replace(hour=3)
    async with answered(browser, stack, "#/points", now) as (page, answers):
        cards = page.get_by_role("list", name="Recovery points, newest first").locator("> li")
        await expect(cards).to_have_count(10)
        await page.get_by_role("button", name="More").click()
        await expect(cards).to_have_count(20)
        await page.get_by_label("VM (name or ARM id)").fill("sql-001")
        day = now - timedelta(days=7)
        await page.get_by_role("button", name=f"last {day:%A}").click()
        await expect(cards).to_have_count(1)
        await expect(cards).to_contain_text("application")
        wanted = next(query for path, query in reversed(answers.asked) if path == "recovery-points")
        since, until = (datetime.fromisoformat(wanted[name]) for name in ("since", "until"))
        assert since <= day < until
        assert timedelta(hours=23) <= until - since <= timedelta(hours=25)
        assert "day=" in page.url
        await page.get_by_text("Why this grade").click()
        await expect(cards).to_contain_text("everything was held until the order")
        await expect(cards).to_contain_text(HOSTILE[1])
        await expect(cards.get_by_role("link", name="Evidence, times and history")).to_have_attribute(
            "href", "#/runs/0000000000000007/vms/00000000000000000077"
        )
        await shot(page, "points")
        await page.reload()
        await expect(cards).to_have_count(1)


async def test_policies_stand_by_their_next_times(stack: Stack, browser: Browser) -> None:
    async with answered(browser, stack, "#/policies", datetime.now().astimezone()) as (page, _):
        cards = page.locator("ul.cards > li")
        await expect(cards).to_have_count(2)
        await expect(cards.first).to_contain_text(re.compile(r"next in (3 h 00|2 h 59) min"))
        await expect(cards.first).to_contain_text("missed")
        await expect(cards.first).to_contain_text(HOSTILE[0])
        await expect(cards.nth(1)).to_contain_text("no schedule")
        await shot(page, "policies")


async def test_runs_that_failed_stand_first_then_those_that_go_on(
    stack: Stack, browser: Browser, seeded: Seeded
) -> None:
    del seeded
    async with answered(browser, stack, "#/runs", datetime.now().astimezone()) as (page, _):
        headings = page.locator(".runs h2")
        await expect(headings).to_have_text(["Failed", "Going on", "Ended"])
        first = page.locator(".runs li").first
        await expect(first).to_contain_text("3 failed")
        await expect(page.locator(".health").get_by_role("link")).to_contain_text("Overdue by")
        await shot(page, "runs")
        await page.get_by_label("Policy").fill("nightly-databases")
        async with page.expect_request("**/api/runs?*policy=nightly-databases*"):
            await page.keyboard.press("Enter")
        assert "policy=nightly-databases" in page.url


@pytest.mark.skipif(SHOTS is None, reason="writes figures: PAGE_SHOTS=folder")
async def test_figures_of_400_rows(stack: Stack, browser: Browser, seeded: Seeded) -> None:
    del seeded
    async with opened(browser, stack, f"#/runs/{RUN}") as seen:
        page = seen.page
        await expect(page.locator("ul.vms > li")).to_have_count(VMS)
        metrics = await page.context.new_cdp_session(page)
        await metrics.send("Performance.enable", {"timeDomain": "threadTicks"})  # of a busy machine, too

        async def busy_ms() -> float:
            told = (await metrics.send("Performance.getMetrics"))["metrics"]
            return 1_000 * next(float(each["value"]) for each in told if each["name"] == "TaskDuration")

        before = await busy_ms()
        figures = await page.evaluate(SCROLLING)
        after = await busy_ms()
        figures["main_thread_ms_per_frame_while_scrolling"] = round((after - before) / 240, 1)
        await page.evaluate("scrollTo(0, 0)")
        before = await busy_ms()
        await asyncio.sleep(20)
        figures["main_thread_ms_per_s_while_live"] = round((await busy_ms() - before) / 20, 1)
        figures["answer_bytes"] = await page.evaluate(
            "performance.getEntriesByType('resource').filter(e => e.name.includes('/timeline'))"
            ".map(e => e.encodedBodySize)"
        )
        figures["nodes"] = await page.evaluate("document.querySelectorAll('*').length")
        await asyncio.to_thread(Path(f"{SHOTS}/figures.json").write_text, json.dumps(figures, indent=1))
        for axis in ("guests", "window"):
            await page.get_by_label("Time axis").select_option(axis)
            await shot(page, f"axis-{axis}")
        await page.get_by_label("Time axis").select_option("all")
        await page.get_by_label("VM", exact=True).fill("sql-00")
        await page.get_by_text("What the colours mean").click()
        await shot(page, "legend")
        await page.get_by_text("What the colours mean").click()
        await page.set_viewport_size({"width": 1280, "height": 830})
        await shot(page, "readme")
