"""A hundred thousand frames that are good but for some bytes: what is announced is answered as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import one_answers
from lbproof.context import proves
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import crafted, neighbour

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 3
FRAMES = 100_000


@proves("SEC-05", "a")
def test_random_frames_break_nothing(check: CheckContext) -> None:
    """After them one node answers for each address, no process has ended, and a new Service is answered.

    They are made from every way in which hosts ask for the addresses of Services, by the seed of the run.
    """
    check.pool(SERVICES + 1)
    held = list(check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES))).values())
    with check.precondition("L2-01"):
        holders = check.sole_holders(*held)
    ended = check.run.workloads.ended()
    macs = {name: mac for mac, name in check.mac_names().items()}
    (unknown,) = check.run.addresses(1)
    good = [
        neighbour.encode(check.client, question)
        for address, name in holders.items()
        for question in check.ways_to_ask(address, macs.get(name, name), unknown=unknown).values()
    ]
    check.forget_frames()
    seed = check.random.getrandbits(32)
    crafted.flood(check.client, family_of(next(iter(holders))), good, count=FRAMES, seed=seed)
    check.saw("arp", "frames that were changed at random", FRAMES)
    one_answers(check, held)
    new = check.assigned(check.service("new"))
    check.holders(new)
    now = check.run.workloads.ended()
    assert now == ended, f"containers have ended: {words(now)}, before {words(ended)}"
