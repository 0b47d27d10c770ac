"""Answers of calls whose own tests are elsewhere, by their contract, for the page to show."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from playwright.async_api import Page, Route

from tests.e2e.page_seed import HOSTILE

PREFIX = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines"


def moment(at: datetime) -> str:
    """Write a time as the API does."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def points(now: datetime) -> list[dict[str, Any]]:
    """Give recovery points, one a day for two VMs, the newest first."""
    found = []
    for back in range(12):
        for name in ("sql-001", HOSTILE[0]):
            worse = back == 3
            found.append(
                {
                    "point": f"{back:019}{len(name) % 10}",
                    "href": "/api/recovery-points/x",
                    "vm": f"{PREFIX}/{name}",
                    "name": name,
                    "policy": "nightly-databases",
                    "run": f"{back:016}",
                    "state": "available",
                    "outcome": "degraded" if worse else "succeeded",
                    "grade": "crash" if worse else "application",
                    "created_at": moment(now - timedelta(days=back)),
                    "freeze_window_ms": None if worse else 1_900 + back,
                    "warnings": 2 if worse else 0,
                    "hold": _HOLD if back == 5 else None,
                    "why": "",
                    "changed_at": None,
                }
            )
    return found


_HOLD = {"reason": "audit of the year", "since": "2026-01-01T00:00:00.000Z", "until": None, "immutable": True}


class Answers:
    """Answers a page's calls; ``asked`` has the queries of each."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def serve(self, page: Page) -> None:
        """Take the place of these calls of the app."""
        await page.route("**/api/recovery-points**", self._answer)
        await page.route("**/api/policies**", self._answer)
        await page.route("**/api/runs?**", self._answer)

    async def _answer(self, route: Route) -> None:
        url = urlparse(route.request.url)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix("/api/")
        self.asked.append((path, query))
        if path == "recovery-points":
            body: Any = self._points(query)
        elif path.startswith("recovery-points/"):
            body = points(self.now)[0] | {
                "reasons": ["everything was held until the order", HOSTILE[1]],
                "resources": [f"{PREFIX}/snap-1", f"{PREFIX}/snap-2"],
                "missing": [f"{PREFIX}/snap-2"],
                "evidence_sha256": "ab" * 32,
            }
        else:
            body = {"policies": self._policies, "runs": self._runs}[path]()
        await route.fulfill(body=json.dumps(body), content_type="application/json")

    def _points(self, query: dict[str, str]) -> dict[str, Any]:
        found = [
            point
            for point in points(self.now)
            if query.get("vm", point["name"]) in (point["name"], point["vm"])
            and query.get("since", "") <= point["created_at"] < query.get("until", "3")
            and query.get("grade", point["grade"]) == point["grade"]
        ]
        start = int(query.get("continuation", "0"))
        more = start + 10 < len(found)
        return {"items": found[start : start + 10], "continuation": str(start + 10) if more else None}

    def _policies(self) -> dict[str, Any]:
        times = [moment(self.now + timedelta(hours=hours)) for hours in (3, 27)]
        return {
            "items": [
                {"policy": "no-schedule", "schedules": []},
                {
                    "policy": "nightly-databases",
                    "description": HOSTILE[0],
                    "schedules": [{"name": "every night", "next": times}],
                },
            ],
            "continuation": None,
        }

    def _runs(self) -> dict[str, Any]:
        def run(number: int, state: str, **outcomes: int) -> dict[str, Any]:
            return {
                "run": f"{number:016}",
                "state": state,
                "policy": "nightly-databases",
                "requested_by": "schedule",
                "created_at": moment(self.now - timedelta(hours=24 * number)),
                "vm_count": 40,
                "vms_ended": sum(outcomes.values()),
                "outcomes": outcomes,
            }

        items = [
            run(0, "running", succeeded=12),
            run(1, "ended", succeeded=40),
            run(2, "ended", succeeded=37, failed=3),
            run(3, "ended", succeeded=38, degraded=2),
        ]
        return {"items": items, "continuation": None}
