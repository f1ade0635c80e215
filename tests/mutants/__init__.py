"""Mutants of the reference: wrong implementations that test the checks."""
