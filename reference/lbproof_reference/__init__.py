"""The smallest LoadBalancer that passes the suite: a controller and a speaker that take MetalLB's manifests."""
