"""One module an implementation: how it is installed, given a pool, asked for an address, and what its words are."""
