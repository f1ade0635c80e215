"""`junit.xml` in the form that CI servers read (xunit2): a suite for each area, a test case for each verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lbproof.spec import Verdict

if TYPE_CHECKING:
    from lbproof.report.model import Case, Run

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SKIPPED = {Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.UNTESTABLE}


def _clean(text: str) -> str:
    """Replace characters that XML 1.0 does not allow."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def of(run: Run) -> str:
    """Render the document."""
    root = ET.Element("testsuites", {"name": "lbproof", **_counts(run.cases), "time": f"{run.seconds:.3f}"})
    for area, results in run.by_area:
        cases = [case for result in results for case in result.cases]
        suite = ET.SubElement(
            root,
            "testsuite",
            {"name": area, **_counts(cases)},
            skipped=str(sum(case.verdict in _SKIPPED for case in cases)),
            time=f"{sum(case.seconds for case in cases):.3f}",
            timestamp=run.at.partition(".")[0],
        )
        for case in cases:
            _case(suite, area, case)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(cases: list[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.verdict is Verdict.FAILED for case in cases)),
        "errors": str(sum(case.verdict is Verdict.ERROR for case in cases)),
    }


def _case(suite: ET.Element, area: str, case: Case) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        classname=f"lbproof.{area}",
        name=_clean(f"{case.id} {case.sentence}"),
        time=f"{case.seconds:.3f}",
    )
    said = {"expected: ": case.expected, "observed: ": case.observed, "": case.traceback}
    detail = "\n".join(f"{label}{text}" for label, text in said.items() if text)
    if case.verdict in _SKIPPED:
        ET.SubElement(element, "skipped", message=_clean(f"{case.verdict}: {case.reason}"))
    elif case.verdict is not Verdict.PASSED:
        tag = "failure" if case.verdict is Verdict.FAILED else "error"
        ET.SubElement(element, tag, message=_clean(case.reason), type=case.verdict.value).text = _clean(detail)
