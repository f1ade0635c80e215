"""`python -m lbproof`: the command, where its script is not on the path."""

from lbproof.run.cli import main

main()
