"""`python -m xlsr` is the command `xlsr`."""

from xlsr.cli import main

main()
