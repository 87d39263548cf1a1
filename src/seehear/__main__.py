"""`python -m seehear` is the same as `seehear`."""

from seehear.cli import main

main()
