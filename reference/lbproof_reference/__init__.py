"""Minimal LoadBalancer that passes the suite: a controller and a speaker that read MetalLB's resources."""
