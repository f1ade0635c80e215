"""Each mutant fails the cases that are named for it: a check that no implementation fails is useless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.mutants import matrix
from tests.mutants.catalogue import CAUGHT, Mutant
from tests.mutants.runs import CLEAN, NOT_DRAWN, REPORTED, WHOLE_SECONDS, Judged, Runs, judged

from lbproof.spec import Level
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs of all mutants whose tests were selected."""
    selected: list[Any] = [
        item.callspec.params["mutant"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    rows, writes = matrix.read(), request.config.getoption("--write-matrix")

    def then(mutant: Mutant, found: Judged) -> None:
        request.config.stash[REPORTED].extend(matrix.differences(mutant, found.lines, rows))
        if writes:
            matrix.update(mutant, found.verdicts, found.lines)

    folder = tmp_path_factory.mktemp("mutants")
    made = Runs(selected, folder, labs=request.config.getoption("--mutant-labs"), then=then)
    yield made
    made.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mutant", CAUGHT.values(), ids=CAUGHT)
def test_each_case_that_is_named_for_it_catches_it(mutant: Mutant, runs: Runs) -> None:
    """Each case fails with the verdict `failed`, and the run is not conformant if a requirement is mandatory.

    The line that failed is in the matrix: a step before the case's own assertion proves nothing of that.
    """
    found = runs[mutant]

    assert found.lines.keys() == set(mutant.cases)
    assert found.verdicts == dict.fromkeys(mutant.cases, "failed")
    is_binding = any(of_case(case).level is not Level.SHOULD for case in mutant.cases)
    assert found.code == int(is_binding or found.standing)


@pytest.mark.timeout(WHOLE_SECONDS + 20)
def test_the_unbroken_reference_passes_every_case(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The reference without a fault passes every case that it claims within the same budgets.

    So no mutant fails by them alone. With `--due`, only some of the verdicts for IPv6 as a further family are found.
    """
    skip = request.config.stash[NOT_DRAWN]
    found = judged("reference", [], tmp_path, limit=WHOLE_SECONDS, skip=skip)

    left_out = {case for case, verdict in found.verdicts.items() if verdict == "skipped"}
    assert left_out <= {*skip}
    not_clean = {case: verdict for case, verdict in found.verdicts.items() if verdict not in CLEAN}
    assert not_clean == dict.fromkeys(left_out, "skipped")
    assert found.code == (2 if left_out else 0)  # what binds and is left out makes a run inconclusive
