"""Probes that are started as processes of their own, and readers of kernel counters. Standard library alone."""
