"""Kubernetes' LabelSelector (metav1.LabelSelectorAsSelector)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches the labels. Raises LookupError or TypeError for a malformed one."""
    tests: dict[str, Callable[[str, list[str]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    met = [labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items()]
    met += [tests[e["operator"]](e["key"], e.get("values") or []) for e in selector.get("matchExpressions") or []]
    return all(met)
