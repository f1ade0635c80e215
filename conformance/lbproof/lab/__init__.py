"""Clusters to judge in: the Lab protocol and its providers."""
