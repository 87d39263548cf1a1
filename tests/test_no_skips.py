"""Skips fail a run of CI, except those that no CI machine can avoid."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

FOUR = """
import pytest

def test_passes(): pass
def test_browser(): pytest.skip("Chromium is not installed")
def test_shared(): pytest.skip("no test data in /nowhere; set SEEHEAR_TEST_DATA")
@pytest.mark.gpu
def test_gpu(): pytest.skip("no GPU")
"""


@pytest.fixture
def ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A run with CI=true and no shared folder."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("SEEHEAR_TEST_DATA", str(pytester.path / "absent"))
    monkeypatch.setenv("PYTHONPATH", __file__.rpartition("/")[0])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nmarkers = gpu")
    return pytester


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_skip_fails_a_run_of_ci(ci: pytest.Pytester, workers: str) -> None:
    ci.makepyfile(
        test_four=FOUR,
        test_module="import pytest\npytest.importorskip('nowhere', reason='nowhere is missing')",
    )
    done = ci.runpytest_subprocess("-p", "xdist", "-p", "no_skips", workers)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            "*= skipped in CI =*",
            "*test_four.py::test_browser: Chromium is not installed",
            "*1 passed, 4 skip*",
        ]
    )
    done.stdout.fnmatch_lines(["*test_module.py: nowhere is missing"])
    done.stdout.no_fnmatch_line("*test_shared:*")
    done.stdout.no_fnmatch_line("*test_gpu:*")


def test_a_shared_folder_that_lacks_files_fails_a_run_of_ci(ci: pytest.Pytester) -> None:
    (ci.path / "absent").mkdir()
    ci.makepyfile(FOUR)
    done = ci.runpytest_subprocess("-p", "no_skips")
    done.stdout.fnmatch_lines(["*test_shared: no test data in*"])


def test_skips_are_fine_elsewhere(ci: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    ci.makepyfile(FOUR)
    monkeypatch.delenv("CI")
    assert ci.runpytest_subprocess("-p", "no_skips").ret == pytest.ExitCode.OK
