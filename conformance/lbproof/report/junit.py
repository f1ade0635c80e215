"""`junit.xml` in the form that CI servers read (xunit2): a suite for each area, a test case for each verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lbproof.report import standing
from lbproof.report.terminal import figure
from lbproof.spec import Verdict
from lbproof.spec.promises import PROMISES

if TYPE_CHECKING:
    from lbproof.report.model import Case, Event, Run

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SKIPPED = {Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.UNTESTABLE}


def _clean(text: str) -> str:
    """Replace characters that XML 1.0 does not allow."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def of(run: Run) -> str:
    """Render the document."""
    root = ET.Element(
        "testsuites", {"name": "lbproof", **_counts(run.cases, run.standing), "time": f"{run.seconds:.3f}"}
    )
    for area, results in run.by_area:
        cases = [case for result in results for case in result.cases]
        seen = [event for result in results for event in result.standing]
        suite = ET.SubElement(
            root,
            "testsuite",
            {"name": area, **_counts(cases, seen)},
            skipped=str(sum(case.verdict in _SKIPPED for case in cases)),
            time=f"{sum(case.seconds for case in cases):.3f}",
            timestamp=run.at.partition(".")[0],
        )
        for case in cases:
            _case(suite, area, case)
        for event in seen:
            _standing(suite, area, event)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(cases: list[Case], seen: list[Event]) -> dict[str, str]:
    verdicts = [*(case.verdict for case in cases), *(Verdict.FAILED for _ in seen)]
    flaky = sum(case.flaky for case in cases)
    return {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.FAILED)),
        "errors": str(verdicts.count(Verdict.ERROR) + flaky),
    }


def _standing(suite: ET.Element, area: str, event: Event) -> None:
    """Add a violation that a standing witness saw, as a test of its own."""
    name = f"{event['requirement']} at any time: {PROMISES[event['promise']].text}"
    element = ET.SubElement(suite, "testcase", classname=f"lbproof.{area}", name=_clean(name), time="0.000")
    ET.SubElement(element, "failure", message=_clean(standing.reason(event)), type=Verdict.FAILED.value)


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
    elif case.flaky:
        ET.SubElement(element, "error", message=_clean(case.reason), type="flaky").text = _clean(detail)
    elif case.verdict is not Verdict.PASSED:
        tag = "failure" if case.verdict is Verdict.FAILED else "error"
        ET.SubElement(element, tag, message=_clean(case.reason), type=case.verdict.value).text = _clean(detail)
    if case.measured:
        ET.SubElement(element, "system-out").text = _clean("\n".join(map(figure, case.measured)))
