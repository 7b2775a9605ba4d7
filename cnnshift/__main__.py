"""`python -m cnnshift`."""

from cnnshift.cli import main

main()
