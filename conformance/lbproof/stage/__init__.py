"""What checks stand on: the run's `Ground` and each check's `Stage`."""

from lbproof.stage.ground import CannotShow, Ground
from lbproof.stage.objects import Pool, Service, ingress
from lbproof.stage.stage import Stage

__all__ = ["CannotShow", "Ground", "Pool", "Service", "Stage", "ingress"]
