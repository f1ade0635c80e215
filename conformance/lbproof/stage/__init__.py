"""What checks stand on: the run's `Ground` and each check's `Stage`."""

from lbproof.stage.ground import CannotShow, Ground
from lbproof.stage.stage import Pool, Service, Stage, ingress

__all__ = ["CannotShow", "Ground", "Pool", "Service", "Stage", "ingress"]
