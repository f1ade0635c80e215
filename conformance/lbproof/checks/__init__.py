"""Checks: one behaviour per file, one folder per area; each check names the requirement that it proves."""
