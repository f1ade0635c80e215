"""Prove that a bare-metal Kubernetes LoadBalancer keeps the promises of `Service type: LoadBalancer`, from the wire."""

from importlib.metadata import version

__version__ = version("lbproof")
