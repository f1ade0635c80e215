"""Readers of a run's events: terminal, `report.json`, `junit.xml`, `report.html`. They know the specification alone."""
