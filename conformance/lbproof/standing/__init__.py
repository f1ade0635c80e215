"""Standing witnesses: what a run promises at any time is watched from its first check to its last, in each lab."""
