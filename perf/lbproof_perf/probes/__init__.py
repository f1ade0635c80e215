"""Neighbour requests by the tasks of the probe, and readers of kernel counters."""
