"""The checks: one behaviour a file, one folder an area; each names the requirement that it proves."""
