"""The implementation configured to serve Services of its own class alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.context import CheckContext
from lbproof.context.rest import until_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import RunContext


@contextmanager
def own_class_alone(run: RunContext) -> Iterator[str]:
    """Have Services of the own class alone served during the block; wait after it until one without it is served again.

    A controller that has started again may have to be elected, which the next check is not to meet.
    """
    with run.only_own_class() as name:
        yield name
    check = CheckContext(run, "CLASS-01", capture=False)
    try:
        until_served(check, "the configuration of before is back")
    finally:
        check.close(rest=False)
