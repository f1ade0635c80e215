"""Statistics of benchmark results: quantiles, intervals, ratios and permutation tests."""
