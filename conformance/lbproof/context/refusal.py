"""Refusal of an object by the implementation's own admission, which is its answer and no error of the suite."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

_DENIED = ("denied the request", "denied request")
"""Words of the API server for an admission webhook and for a ValidatingAdmissionPolicy."""


class Refused(Violation):
    """The implementation refuses an object; a failure unless the check expects it."""


@contextmanager
def admission(what: str, *, own_kind: bool = False) -> Iterator[None]:
    """Raise `Refused` for a request that admission denies, instead of `ApiError`.

    `own_kind`: the object is of a kind of the implementation's, so that what its schema forbids is its refusal too.
    """
    try:
        yield
    except ApiError as error:
        by_schema = own_kind and error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
        if by_schema or any(words in error.message for words in _DENIED):
            raise Refused(f"{what} is refused: {error.message}") from error
        raise
