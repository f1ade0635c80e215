"""Benchmarks of LoadBalancer implementations, side by side in one run."""
