"""With CI=true a skipped test fails the run, except GPU tests and tests of an absent ../shared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("SEEHEAR_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))


def forbidden(config: pytest.Config) -> list[tuple[str, str]]:
    """Test and reason of every skip that CI does not accept; none outside of CI."""
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")  # absent in workers
    if os.environ.get("CI") != "true" or terminal is None:
        return []
    found: list[tuple[str, str]] = []
    for each in terminal.stats.get("skipped", []):
        reason = str(each.longrepr[2]).removeprefix("Skipped: ")
        is_gpu = "gpu" in getattr(each, "keywords", ())  # a module that was skipped has none
        if not is_gpu and (SHARED.is_dir() or "SEEHEAR_TEST_DATA" not in reason):
            found.append((each.nodeid, reason))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if forbidden(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if found := forbidden(config):
        terminalreporter.section("skipped in CI", red=True)
        terminalreporter.line(
            "CI=true accepts skips of GPU tests and of an absent ../shared only; "
            "install what these tests need:"
        )
        for test, reason in found:
            terminalreporter.line(f"{test}: {reason}")
