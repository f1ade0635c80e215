"""Kubernetes' label that keeps a node out of load balancing, set on a node that announces, and removed again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import proves
from lbproof.lab.base import Role

if TYPE_CHECKING:
    from lbproof.context import CheckContext

VALUES = ("", "true", "unreadable")
"""Values that exclude a node."""


@proves("FAIL-08", "a", disruptive=True)
def test_an_excluded_node_announces_nothing(check: CheckContext) -> None:
    """The addresses of a labelled node are answered and served by others, and it answers for none of them.

    Without the label it announces again: it takes all when every other node has it.
    """
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    with check.excluded(old.name):
        check.holders(*moving, but=old.name, budget="failover")
        check.sole_holders(*moving, but=old.name, budget="one_answerer")
        one_answers(check, held, but=old.name)
        for address in moving:
            check.serves(check.client, address)
    with ExitStack() as others:
        for node in check.lab.nodes:
            if node != old:
                others.enter_context(check.excluded(node.name))
        check.wait.eventually(
            lambda: check.who_answers(*held),
            lambda seen: all(who == [old.name] for who in seen.values()),
            what=f"{old.name}, the only node without the label, answers for each address",
            budget="failover",
        )
    one_answers(check, held)


@proves("FAIL-08", "b", disruptive=True)
def test_the_value_of_the_label_counts(check: CheckContext) -> None:
    """A worker alone may announce: its label says false, that of the others is empty or says something else."""
    held = list(assigned(check))
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    one = check.random.choice(workers)
    values = [*check.random.sample(VALUES, len(VALUES))]
    with ExitStack() as labels:
        labels.enter_context(check.excluded(one.name, "false"))
        for n, node in enumerate(node for node in check.lab.nodes if node != one):
            labels.enter_context(check.excluded(node.name, values[n % len(values)]))
        check.wait.eventually(
            lambda: check.who_answers(*held),
            lambda seen: all(who == [one.name] for who in seen.values()),
            what=f"{one.name}, whose label says false, answers for each address alone",
            budget="failover",
        )
        one_answers(check, held)
