"""What is free beside Services whose addresses must stay, on paper."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.adapters.base import PoolSpec
from lbproof.context import CheckContext, Pool

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Choose = Callable[[list[IPv4Address]], IPv4Address]


class Paper:
    """Context of a check whose Services are given one of the free addresses at once."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.free: list[IPv4Address] = []
        self.held: dict[str, IPv4Address] = {}

    def pool(self, count: int) -> Pool:
        """Have that many addresses."""
        self.free = [IPv4Address("192.0.2.0") + n for n in range(count)]
        return Pool(PoolSpec(name="paper", blocks=()), list(self.free))

    def service(self, name: str, **_: Any) -> str:  # noqa: ANN401 - fields of a Service
        """Assign an address."""
        address = self.held[name] = self.choose(self.free)
        self.free.remove(address)
        return name

    def assigned(self, name: str) -> IPv4Address:
        """Return the address of a Service."""
        return self.held[name]

    def delete(self, name: str) -> None:
        """Release the address of a Service."""
        self.free = sorted([*self.free, self.held.pop(name)])

    def room(self) -> AbstractContextManager[None]:
        """Return that of the context of a check."""
        return CheckContext.room(cast("CheckContext", self))

    def given_anew(self, name: str) -> IPv4Address:
        """Release the address of a Service, and assign one."""
        self.delete(name)
        return self.held[self.service(name)]


@pytest.mark.parametrize("choose", [min, max], ids=["lowest", "highest"])
@pytest.mark.parametrize("which", range(4))
def test_an_address_that_is_given_anew_is_another_one(choose: Choose, which: int) -> None:
    """So it is for each of the Services, whichever end of the pool is given first."""
    paper = Paper(choose)
    with CheckContext.pool_with_room(cast("CheckContext", paper), 4):
        names = [paper.service(f"web-{n}") for n in range(4)]
    before = paper.held[names[which]]

    assert paper.given_anew(names[which]) != before


@pytest.mark.parametrize("choose", [min, max], ids=["lowest", "highest"])
def test_a_lower_and_a_higher_address_are_free(choose: Choose) -> None:
    """Neither is one of those of the Services that are created in the block."""
    paper = Paper(choose)
    with CheckContext.pool_with_room(cast("CheckContext", paper), 3):
        held = [paper.held[paper.service(f"web-{n}")] for n in range(3)]

    assert min(paper.free) < min(held)
    assert max(held) < max(paper.free)


def test_a_check_that_ends_in_the_block_keeps_its_failure() -> None:
    """What the block raises is raised; the Service is left to the end of the check."""
    paper = Paper(min)
    paper.pool(2)
    with pytest.raises(AssertionError, match="as given"), paper.room():
        raise AssertionError("as given")
    assert list(paper.held) == ["makes-room"]
