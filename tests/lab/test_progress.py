"""What a run shows: lines where nobody looks, a bar on a terminal, nothing from other processes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from seehear_lab.progress import told_steps

ROWS = (
    {"step": 1, "loss": 2.0, "seconds": 0.5, "of": 3},
    {"step": 2, "loss": 1.5, "seconds": 0.5, "of": 3},
    {"step": 2, "figure": 25.0, "of": 3},
)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with told_steps() as tell:
        for row in ROWS:
            tell(row)
    told = capsys.readouterr()
    assert told.out == "step 1: loss 2.0000, 0.50 s\nstep 2: R@1 on validation 25.0\n"
    assert not told.err


def test_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with told_steps(is_shown=False) as tell:
        tell(ROWS[0])
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    code = "from seehear_lab.progress import told_steps\nwith told_steps() as tell:\n"
    code += f" for row in {ROWS!r}: tell(row)"
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
