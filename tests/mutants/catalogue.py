"""All mutants, registered by the import of their modules."""

from tests.mutants import (
    allocation,
    announcing,
    api_side,
    authority,
    copies,
    data_path,
    eighth_reader_a,
    eighth_reader_b,
    families,
    fifth_reader,
    fourth_reader,
    half_alive,
    heartbeats,
    leaks,
    links,
    objects,
    outsiders,
    places,
    reporting,
    second_reader,
    seventh_reader,
    seventh_reader_new,
    sharing,
    sixth_reader,
    takeovers,
    third_reader,
)
from tests.mutants.mutant import MUTANTS, Mutant
from tests.mutants.sentences import addresses, answering, moving, ownership, waiting

CAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.cases}
"""Mutants that cases must detect."""
UNCAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.uncaught}
"""Mutants that no case detects yet."""

NOT_BROKEN = {
    "ARTICLE-01": "what is installed is not what the program does: a fault of the manifests, which mutants leave alone",
    "ARTICLE-02": "the suite creates the pools where the adapter says",
    "ARTICLE-03": "there is no LoadBalancer yet: what serves is kube-proxy",
    "ARTICLE-10": "endpoints are the control plane's",
    "ARTICLE-11": "what serves the cluster address is kube-proxy, which no mutant changes",
    "ARTICLE-12": "what serves the node port is kube-proxy, and what refuses one is the API server",
    "ARTICLE-14": "kube-proxy balances",
    "ETP-04b": "what answers is kube-proxy, which knows endpoints by itself",
    "ETP-04c": "what answers is kube-proxy, which knows endpoints by itself",
    "ETP-06a": "kube-proxy serves clients inside the cluster, whoever announces",
    **dict.fromkeys(("PERF-01", "PERF-02", "PERF-03", "PERF-04", "PERF-05"), "it is measured, and not judged"),
    "REQ-06": "it is measured, and not judged",
    "SEC-01a": "the accounts are those of the manifests, which mutants leave alone; tests give the check wider ones",
    "SEC-01b": "as SEC-01a",
    "SEC-01c": "as SEC-01a, of containers",
    "TIER-05a": "what serves cluster address and node port is kube-proxy, which no mutant changes",
    "TIER-06b": "nothing listens at the target port on a node, and the reference forwards nothing",
}
"""Cases that no mutant breaks, each with the reason."""


__all__ = [
    "CAUGHT",
    "MUTANTS",
    "NOT_BROKEN",
    "UNCAUGHT",
    "Mutant",
    "addresses",
    "allocation",
    "announcing",
    "answering",
    "api_side",
    "authority",
    "copies",
    "data_path",
    "eighth_reader_a",
    "eighth_reader_b",
    "families",
    "fifth_reader",
    "fourth_reader",
    "half_alive",
    "heartbeats",
    "leaks",
    "links",
    "moving",
    "objects",
    "outsiders",
    "ownership",
    "places",
    "reporting",
    "second_reader",
    "seventh_reader",
    "seventh_reader_new",
    "sharing",
    "sixth_reader",
    "takeovers",
    "third_reader",
    "waiting",
]  # fmt: skip
