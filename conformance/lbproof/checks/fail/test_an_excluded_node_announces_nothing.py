"""Kubernetes' label that keeps a node out of load balancing, set on a node that announces, and removed again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import proves
from lbproof.context.claims import by_node
from lbproof.context.precedence import judging
from lbproof.lab.base import Role
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

VALUES = ("", "true", "unreadable")
"""Values that exclude a node."""


@contextmanager
def silent(check: CheckContext, addresses: Sequence[IPAddress], nodes: Collection[str]) -> Iterator[None]:
    """Judge that excluded nodes answer for and announce none of some addresses, in the block and for seconds after it.

    Whether one of the others answers is judged by L2-01.
    """
    with check.claims() as claims:

        def said() -> dict[str, list[str]]:
            made = by_node(claims.of(addresses))
            return {str(address): found for address, who in made.items() if (found := sorted(who.keys() & {*nodes}))}

        def judge() -> None:
            found = said()
            assert not found, f"excluded nodes answer or announce: {words(found)}"

        with judging(judge):
            yield
        check.wait.consistently(
            said,
            lambda found: not found,
            what=f"no excluded node answers for or announces {words(list(map(str, addresses)))}",
            budget="stays_unannounced",
        )


@proves("FAIL-08", "a", disruptive=True)
def test_an_excluded_node_announces_nothing(check: CheckContext) -> None:
    """The addresses of a labelled node are answered and served by others, and it answers for none of them.

    Without the label it announces again: it takes all when every other node has it.
    """
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    able = [node.name for node in check.lab.nodes if node != old]
    with check.excluded(old.name):
        check.holders(*moving, but=old.name, budget="failover")
        check.holders_within(dict.fromkeys(held, able), budget="one_answerer")
        with silent(check, held, [old.name]), check.precondition("L2-01"):
            one_answers(check, held)
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
    with check.precondition("L2-01"):
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
        excluded = [node.name for node in check.lab.nodes if node != one]
        with silent(check, held, excluded), check.precondition("L2-01"):
            one_answers(check, held)
