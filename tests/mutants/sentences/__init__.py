"""Faults written from the requirements' sentences alone, without a look at the checks."""
