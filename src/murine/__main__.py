"""`python -m murine` is `murine`."""

from murine.cli import main

main()
