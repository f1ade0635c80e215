"""One run: its options, its session, the pytest plugin and the `lbproof` command."""
