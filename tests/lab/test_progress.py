"""Progress of training: lines without a terminal, a bar on one, nothing from other processes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from seehear_lab.experiments.progress import show_progress

ROWS = (
    {"step": 1, "loss": 2.0, "seconds": 0.5, "of": 3},
    {"step": 2, "loss": 1.5, "seconds": 0.5, "of": 3},
    {"step": 2, "metric": 25.0, "of": 3},
)


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as on_log:
        for row in ROWS:
            on_log(row)
    shown = capsys.readouterr()
    assert shown.out == "step 1: loss 2.0000, 0.50 s\nstep 2: R@1 on validation 25.0\n"
    assert not shown.err


def test_other_processes_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(is_shown=False) as on_log:
        on_log(ROWS[0])
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    code = "from seehear_lab.experiments.progress import show_progress\n"
    code += f"with show_progress() as on_log:\n for row in {ROWS!r}: on_log(row)"
    paths = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, "TERM": "xterm", "COLUMNS": "80"},
        stderr=theirs,
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "2/3" in shown and "loss 1.5000" in shown
    assert "R@1 on validation 25.0" in shown
    assert "step 1:" not in shown and not ran.stdout
