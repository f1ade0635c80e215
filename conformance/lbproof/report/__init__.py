"""Reports from a run's events: terminal, `report.json`, `junit.xml`, `report.html`; they import only the spec."""
