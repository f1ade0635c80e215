"""Prove that a bare-metal Kubernetes LoadBalancer keeps the promises of `Service type: LoadBalancer`, from the wire."""

__version__: str
"""Version of the installed distribution."""


def __getattr__(name: str) -> str:
    """Look up the version at its first use: the lookup takes longer than the start of a probe, which needs none."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - see above

    return version("lbproof")
