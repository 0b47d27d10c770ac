"""A headless Chromium that tells everything a page of ours must not do."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

CHROMIUM = shutil.which("chromium")

#: No sandbox, for tests that run as root; nothing that would ask the network on its own.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the machine's own Chromium; skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


_TELL_VIOLATIONS = """addEventListener('securitypolicyviolation',
  (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"""


@dataclass
class Watched:
    """A page and what it did: ``faults`` (errors, violations of its policy, dialogs), ``requests``.

    ``usual`` are parts of what the console says that are no faults, whenever it says them: Chromium tells
    of an answer at any time after the page has shown it.
    """

    page: Page
    faults: list[str] = field(default_factory=list)
    usual: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def said(self, message: ConsoleMessage) -> None:
        """Note an error or a warning of the console; not that the app is unwell, which a page may show."""
        if message.type not in ("error", "warning") or any(part in message.text for part in self.usual):
            return
        if message.location["url"].endswith("/api/health") and "status of 503" in message.text:
            return
        self.faults.append(message.text)

    def asked(self, request: Request) -> None:
        """Note a request."""
        self.requests.append(request)

    def expected(self, part: str) -> None:
        """Take as usual, before and from now on, what a test provokes."""
        self.usual.append(part)
        self.faults = [fault for fault in self.faults if part not in fault]


@contextlib.asynccontextmanager
async def watched(browser: Browser, base: str, **options: Any) -> AsyncIterator[Watched]:
    """Open an empty page; in the end it must have done nothing wrong, and have asked nobody but ``base``."""
    context = await browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
    await context.add_init_script(_TELL_VIOLATIONS)
    page = await context.new_page()
    seen = Watched(page)
    page.on("console", seen.said)
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on("request", seen.asked)

    async def on_dialog(dialog: Any) -> None:
        seen.faults.append(f"dialog {dialog.message}")
        await dialog.dismiss()

    page.on("dialog", on_dialog)
    try:
        yield seen
        assert not seen.faults, seen.faults
        assert [each.url for each in seen.requests if not each.url.startswith(f"{base}/api/")] == []
    finally:
        await context.close()
