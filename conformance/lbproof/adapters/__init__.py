"""Adapters, one module per implementation: installation, pools, address requests and patterns of its Events."""
