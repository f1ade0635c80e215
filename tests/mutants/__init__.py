"""Deliberately wrong implementations: the test of the checks."""
