"""Readers of a benchmark's book: figures, aims, page, JSON, metrics and terminal. They measure nothing themselves."""
