"""The outage probe: an open-loop sender, a capture and a jitter log, and what an outage looks like in their records."""
