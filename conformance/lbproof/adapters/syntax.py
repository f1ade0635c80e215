"""Syntax of Kubernetes' names (`k8s.io/apimachinery/pkg/util/validation`)."""

from __future__ import annotations

import re

from lbproof.spec import BadOption

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LONGEST = 253
"""Characters of a DNS subdomain (RFC 1123)."""


def check_object_name(name: str, place: str) -> None:
    """Raise `BadOption` for a name that no object can have."""
    if not _is_subdomain(name):
        raise BadOption(f"{place} is {name!r}, which no object can be named: lower-case letters, digits, - and . are")


def check_key(key: str, place: str) -> None:
    """Raise `BadOption` for a text that is no qualified name: a key of annotations or labels, a class."""
    prefix, slash, name = key.rpartition("/")
    if not _KEY.fullmatch(name) or (slash and not _is_subdomain(prefix)):
        raise BadOption(f"{place} is {key!r}, no qualified name of Kubernetes such as 'example.com/address'")


def _is_subdomain(name: str) -> bool:
    return len(name) <= _LONGEST and bool(_SUBDOMAIN.fullmatch(name))
