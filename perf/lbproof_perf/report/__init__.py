"""Reports made from the trials of a run: figures, thresholds, page, JSON, metrics, terminal. They measure nothing."""
