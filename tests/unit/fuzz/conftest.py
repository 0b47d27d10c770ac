"""Counts what the fuzz tests execute, whichever worker does it, and says so at the end."""

import functools
from collections.abc import Callable, Generator
from typing import Any

import pytest

EXECUTIONS = "fuzz executions"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Count how often the body of a property is executed; ``inner_test`` is there to be replaced."""
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None:
        return (yield)
    genuine: Callable[..., Any] = handle.inner_test
    count = 0

    @functools.wraps(genuine)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return genuine(*args, **kwargs)

    handle.inner_test = counted
    try:
        return (yield)
    finally:
        handle.inner_test = genuine
        item.user_properties.append((EXECUTIONS, count))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write halves of surrogate pairs as escapes: what was logged or failed goes from a worker as UTF-8."""
    report = yield
    if report.failed:
        report.longrepr = _writable(report.longreprtext)
    report.sections = [(name, _writable(text)) for name, text in report.sections]
    return report


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was executed, and how many properties failed."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if any(name == EXECUTIONS for name, _ in report.user_properties) and report.when == "call"
    ]
    if reports:
        count = sum(value for each in reports for name, value in each.user_properties if name == EXECUTIONS)
        failed = sum(report.failed for report in reports)
        terminalreporter.write_line(f"fuzz {count} executions {failed} failures")
