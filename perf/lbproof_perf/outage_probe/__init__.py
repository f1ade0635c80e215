"""The ruler: an open-loop probe, a capture and a jitter log on one clock, and what an outage looks like in them."""
