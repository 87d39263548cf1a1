"""`python -m seehear_lab` is the command `seehear-lab`."""

from seehear_lab.cli import main

main()
