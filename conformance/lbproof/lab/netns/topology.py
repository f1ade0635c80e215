"""Topology of a netns lab."""

from __future__ import annotations

from dataclasses import dataclass

from lbproof.lab.base import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsTopology(Topology):
    """Topology with what only this lab can have."""

    audit: bool = False
    """Whether the API server logs each request of a ServiceAccount (`NetnsLab.audit_log`)."""
