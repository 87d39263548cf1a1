"""`seehear` in this process: exit code and outputs of `python -m seehear`, without its start."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from seehear.cli import main


def seehear(folder: Path, *words: str, **environment: str) -> CompletedProcess[str]:
    """Run a command in a folder. Unexpected errors come through as they are."""
    out, errors = io.StringIO(), io.StringIO()
    code, on_terminate = 0, signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["seehear", *words])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
    return CompletedProcess(list(words), code, out.getvalue(), errors.getvalue())
