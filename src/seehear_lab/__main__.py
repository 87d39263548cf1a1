"""Run `seehear-lab` as `python -m seehear_lab`."""

from seehear_lab.cli import main

main()
