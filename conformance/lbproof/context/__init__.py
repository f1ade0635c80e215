"""Contexts for checks: the `RunContext` of the run, the `CheckContext` of each check, and the marker `proves`."""

from lbproof.context.cannot import CannotShow
from lbproof.context.check import CheckContext
from lbproof.context.marker import proves
from lbproof.context.objects import Pool, Service, ingress
from lbproof.context.run import RunContext

__all__ = ["CannotShow", "CheckContext", "Pool", "RunContext", "Service", "ingress", "proves"]
