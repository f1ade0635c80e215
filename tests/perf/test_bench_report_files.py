"""The files of a report: each can be read by what it is for, and holds every figure."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import jsonschema
import numpy as np
import pytest
from tests.perf.synthetic_results import KNOWN, store

from lbproof_perf.report import answers, figures, metrics, schema, terminal
from lbproof_perf.report.write import read, write
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from pathlib import Path

_VOID = {"meta", "br", "rect", "line", "path"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A small run with everything in it, reported."""
    made = store(tmp_path_factory.mktemp("run"), cuts=6, arms=["reference", "metallb", "keepalived"])
    write(made, KNOWN)
    return made


def _lines(made: ResultStore) -> list[str]:
    return terminal.table(*read(made, KNOWN))


def _text(made: ResultStore, name: str) -> str:
    return (made.folder / name).read_text(encoding="utf-8")


class _Page(HTMLParser):
    """Reads a page and refuses elements that are not closed, or closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wanted: list[str] = []
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.pictures = self.titled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag not in _VOID or (tag == "rect" and self.rawdata[self.rawdata.find(">", self._at()) - 1] != "/"):
            self.open.append(tag)
        self.pictures += tag == "svg"
        self.titled += tag == "desc"
        self.ids |= {told["id"] or ""} if "id" in told else set()
        self.wanted += [told["href"] or ""] if "href" in told else []
        self.loads += [tag] if tag in {"script", "link", "img", "iframe"} or "src" in told else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _at(self) -> int:
        line, column = self.getpos()
        return sum(len(text) + 1 for text in self.rawdata.split("\n")[: line - 1]) + column


def _page(made: ResultStore) -> _Page:
    page = _Page()
    page.feed(_text(made, "report.html"))
    page.close()
    return page


def test_the_page_is_well_formed_and_loads_nothing(written: ResultStore) -> None:
    """It opens from a mail, without a network and without a script."""
    page = _page(written)

    assert page.open == []
    assert page.loads == []
    assert page.pictures == page.titled > 20


def test_every_link_of_the_page_leads_somewhere(written: ResultStore) -> None:
    """To a place of the page, or to a file beside it."""
    page = _page(written)
    beside = [link for link in page.wanted if not link.startswith("#")]

    assert {link[1:] for link in page.wanted if link.startswith("#")} <= page.ids
    assert len(beside) > 20
    assert all((written.folder / link).exists() for link in beside)


def test_the_page_of_one_benchmark_speaks_of_that_one(tmp_path: Path) -> None:
    """Other benchmarks are not on it, nor thresholds where none were given."""
    made = store(tmp_path, benches=["allocate"], arms=["reference"])
    write(made, KNOWN)
    page, text = _page(made), _text(made, "report.html")

    assert {link[1:] for link in page.wanted if link.startswith("#")} <= page.ids
    assert "100 Services at once" in text
    assert "power cut" not in text
    assert "Thresholds" not in text


def test_the_page_shows_what_did_not_go_well(written: ResultStore) -> None:
    """Marks, cuts without recovery and raw files are on the page."""
    text = _text(written, "report.html")
    raw = written.trials[0].raw

    assert "the machine stalled for 120 ms" in text
    assert "1 without recovery" in text
    assert hashlib.sha256((written.folder / "raw" / raw).read_bytes()).hexdigest()[:12] in text


def test_every_file_says_how_exactly_a_fault_s_moment_is_known(written: ResultStore) -> None:
    """The bracket stands beside the outage: on the page and in its pictures, in the terminal, JSON and metrics."""
    page, prom = _text(written, "report.html"), _text(written, "metrics.prom")
    told = schema.Report.model_validate_json(_text(written, "bench.json"))

    assert "the fault took effect within</td>" in page
    assert "(within 4 ms)" in page
    assert any("the fault took effect within" in line and "4 ms" in line for line in _lines(written))
    assert 'lbproof_bench_failover_fault_bracket_seconds{arm="reference",case="power-cut",quantile="1"} 0.004' in prom
    assert next(one.quantiles["max"].value for one in told.figures if one.name == "fault_bracket_seconds") == 0.004


def test_a_book_of_faults_with_one_moment_is_still_reported(tmp_path: Path) -> None:
    """What was measured before the clock was read twice keeps its figures, and says nothing of a bracket."""
    made = store(tmp_path, benches=["failover"], arms=["reference"], cuts=2)
    lines = [json.loads(line) for line in _text(made, "trials.ndjson").splitlines()]
    for line in lines:
        del line["values"]["fault_bracket_seconds"]
    (tmp_path / "trials.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for path in (tmp_path / "raw").iterdir():
        with np.load(path) as stored:
            kept = {name: stored[name] for name in stored.files if name != "fault_before"}
        np.savez_compressed(path, **kept)
    write(ResultStore.read(tmp_path), KNOWN)

    assert "fault: the announcing node loses power<" in _text(made, "report.html")
    assert "took effect" not in _text(made, "report.html")


def test_no_file_says_a_p99_of_one_run(tmp_path: Path) -> None:
    """Page, terminal, JSON and metrics tell the longest of one instead."""
    made = ResultStore(tmp_path)
    made.add(TrialId(bench="failover", arm="reference", case="power-cut"), {"first_answer_seconds": 5.27})
    write(made, KNOWN)
    told = schema.Report.model_validate_json(_text(made, "bench.json"))

    assert "max of 1: 5.27 s" in _text(made, "report.html")
    assert not re.search(r"p99 5\.27|p50 5\.27", _text(made, "report.html"))
    assert set(told.figures[0].quantiles) == {"max"}
    assert 'quantile="1"} 5.27' in _text(made, "metrics.prom")
    assert "0.99" not in _text(made, "metrics.prom")
    (row,) = (line for line in _lines(made) if line.startswith("  "))
    assert row.count("5.27 s") == 1


@pytest.mark.parametrize(
    ("warnings", "figure"),
    [
        ((("the client was the limit",), ("the client was the limit",)), "not measured"),
        (((), ("the client was the limit",)), "519/s"),
    ],
)
def test_a_headline_stands_on_trials_that_are_not_marked(
    tmp_path: Path, warnings: tuple[tuple[str, ...], ...], figure: str
) -> None:
    """What a client could send is no rate of the LoadBalancer; that it is at least as much is told beside."""
    made = ResultStore(tmp_path)
    for number, (rate, warning) in enumerate(zip((519.0, 100.0), warnings, strict=True), start=1):
        step = TrialId(bench="load", arm="reference", case="loadbalancer-keepalive", number=number)
        made.add(step, {"requests_per_second": rate}, warnings=warning)
    ((said,),) = (answer.arms for answer in answers.answers_of(figures.summarize(made, KNOWN)))

    assert said.figure == figure
    assert ("the client was the limit" in said.text) is (figure == "not measured")


def test_a_marked_outage_alone_is_no_headline(tmp_path: Path) -> None:
    """One of several that is marked is kept and counted: leaving it out would be a choice."""
    for folder, with_warnings, figure in (("a", (True,) * 5, "not measured"), ("b", (True, *(False,) * 4), "100 ms")):
        made = ResultStore(tmp_path / folder)
        for number, warning in enumerate(with_warnings, start=1):
            step = TrialId(bench="failover", arm="reference", case="power-cut", number=number)
            made.add(
                step, {"first_answer_seconds": 0.1}, warnings=("the machine stalled for 90 ms",) if warning else ()
            )
        ((said,),) = (answer.arms for answer in answers.answers_of(figures.summarize(made, KNOWN)))

        assert said.figure == figure
        assert f"{sum(with_warnings)} of 5 marked" in said.text


def test_a_question_that_no_arm_answers_is_left_out(tmp_path: Path) -> None:
    """Services without an ARP answer among their figures give no empty box."""
    made = ResultStore(tmp_path)
    made.add(TrialId(bench="allocate", arm="reference", case="burst-10"), {"api_requests": 30})

    assert answers.answers_of(figures.summarize(made, KNOWN)) == []


def test_no_text_of_a_run_becomes_markup(tmp_path: Path) -> None:
    """A name or a mark cannot put anything into the page."""
    made = ResultStore(tmp_path)
    evil = '<script>alert("x")</script>'
    for number in (1, 2, 3):
        step = TrialId(bench="failover", arm=evil, case="power-cut", number=number)
        made.add(step, {"first_answer_seconds": 0.1 * number, evil: 1.0}, warnings=(evil,))
    made.add_environment({"kernel": evil})
    write(made, KNOWN)

    assert _page(made).loads == []
    assert "<script" not in _text(made, "report.html")
    _check_open_metrics(_text(made, "metrics.prom"))


def test_an_empty_book_can_be_reported(tmp_path: Path) -> None:
    """A run that was stopped at once leaves files that say so."""
    made = ResultStore(tmp_path)
    paths = write(made, KNOWN)

    assert [path.name for path in paths] == ["report.html", "bench.json", "bench.schema.json", "metrics.prom"]
    assert _page(made).open == []
    assert _lines(made) == ["nothing was measured yet"]


def test_the_json_is_what_its_schema_says(written: ResultStore) -> None:
    """A program can rely on the schema that lies beside the file."""
    told, rules = json.loads(_text(written, "bench.json")), json.loads(_text(written, "bench.schema.json"))
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.validate(told, rules)

    assert len(told["figures"]) == len(figures.summarize(written, KNOWN).summaries)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"trials": "many"}, rules)


def test_the_json_has_no_number_that_json_has_not(written: ResultStore) -> None:
    """A time that did not come about is null, and is counted."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    told = schema.Report.model_validate(json.loads(_text(written, "bench.json"), parse_constant=refuse))
    cuts = next(one for one in told.figures if (one.arm, one.case) == ("metallb", "power-cut"))

    assert (cuts.without, cuts.quantiles["max"].value) == (1, None)


def test_the_sums_are_those_of_the_files(written: ResultStore) -> None:
    """The folder is sealed after the last file was written."""
    sums = {line[66:]: line[:64] for line in _text(written, "SHA256SUMS").splitlines()}

    assert {"report.html", "bench.json", "bench.schema.json", "metrics.prom", "trials.ndjson"} <= sums.keys()
    assert all(hashlib.sha256((written.folder / name).read_bytes()).hexdigest() == sum_ for name, sum_ in sums.items())


def test_the_same_trials_give_the_same_files(written: ResultStore) -> None:
    """A report can be made again and compared byte by byte."""
    before = _text(written, "SHA256SUMS")
    write(ResultStore.read(written.folder), KNOWN)

    assert _text(written, "SHA256SUMS") == before


def test_the_metrics_follow_the_grammar(written: ResultStore) -> None:
    """A collector that is strict takes them."""
    samples = _check_open_metrics(_text(written, "metrics.prom"))

    assert samples['lbproof_bench_trials{arm="reference",bench="failover",case="power-cut"}'] == "6.0"
    worst = 'lbproof_bench_failover_first_answer_seconds{arm="metallb",case="power-cut",quantile="1"}'
    assert samples[worst] == "+Inf"


@pytest.mark.parametrize(
    "broken",
    [
        "# TYPE a gauge\na 1",
        "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# TYPE a gauge\na 1\na 1\n# EOF\n",
        'a{b="c} 1\n# EOF\n',
    ],
)
def test_the_checker_of_the_grammar_can_refuse(broken: str) -> None:
    """Text without an end, a unit that the name lacks, a sample twice, an open quote."""
    with pytest.raises(AssertionError):
        _check_open_metrics(broken)


def test_a_label_is_escaped() -> None:
    """Quotes, backslashes and line ends in a name do not end a label."""
    text = metrics.of(figures.Figures(summaries=(), groups=(), known=KNOWN), [], {"a b": 'x"\\\n'})

    assert 'lbproof_bench_info{a_b="x\\"\\\\\\n"} 1' in text
    _check_open_metrics(text)


_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{{(?:{_LABEL}(?:,{_LABEL})*)?\}})? (\S+)")
_NUMBER = re.compile(r"[+-]?(?:Inf|NaN|\d+(?:\.\d*)?(?:e[+-]?\d+)?)")


def _check_open_metrics(text: str) -> dict[str, str]:
    """The samples of an OpenMetrics 1.0 text; AssertionError where it breaks the grammar (gauge and info only)."""
    assert text.endswith("# EOF\n")
    families: dict[str, dict[str, str]] = {}
    samples: dict[str, str] = {}
    current = ""
    for line in text.removesuffix("# EOF\n").splitlines():
        if line.startswith("# "):
            kind, name, told = line[2:].split(" ", 2)
            assert kind in {"TYPE", "UNIT", "HELP"}
            if name != current:
                assert name not in families, f"{name} is interleaved"
                current = name
            assert kind not in families.setdefault(name, {}), f"{kind} of {name} twice"
            assert kind != "UNIT" or name.endswith(f"_{told}"), f"{name} does not end with {told}"
            assert kind != "TYPE" or told in {"gauge", "info"}
            families[name][kind] = told
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert name == current + "_info" * (families[current]["TYPE"] == "info"), line
        found = re.findall(r'([a-zA-Z0-9_]+)="(?:[^"\\]|\\.)*"', labels or "")
        assert len(found) == len(set(found)), line
        assert _NUMBER.fullmatch(value), line
        assert name + (labels or "") not in samples, line
        samples[name + (labels or "")] = value
    return samples


def test_the_terminal_has_a_line_a_main_figure(written: ResultStore) -> None:
    """What a reader looks at first of each benchmark and arm is there, and no line wraps in a wide terminal."""
    found = figures.summarize(written, KNOWN)
    told = terminal.table(found, [])

    main = [one for one in found.summaries if one.name in found.about(one.bench).main]
    assert len([line for line in told if line.startswith("  ")]) == len(main) > 0
    assert any("never" in line for line in told)
    assert max(len(line) for line in told if line.startswith("  ")) < 180


def test_thresholds_stand_first_where_they_were_given(tmp_path: Path) -> None:
    """On the page, in JSON, metrics and terminal; those of what was not run are named by their benchmark."""
    made = store(tmp_path, benches=["arp"], arms=["reference"])
    (tmp_path / "thresholds.toml").write_text(
        '"arp.reference.addresses-1.p99_seconds.max" = {most = 1}\n"moves.*.*.lost.max" = {most = 0}\n'
    )
    write(made, KNOWN)
    page, lines = _text(made, "report.html"), _lines(made)
    aims = json.loads(_text(made, "bench.json"))["aims"]

    assert "<h2>Thresholds</h2>" in page
    assert lines[0].startswith("+ held: reference: 1 address: p99, max: max of ")
    assert lines[1] == "Not run, so their thresholds are open: moves."
    assert [aim["outcome"] for aim in aims] == ["held", "not measured"]
    assert 'lbproof_bench_aim_held{aim="arp.reference.addresses-1.p99_seconds.max"} 1.0' in _text(made, "metrics.prom")


@pytest.mark.parametrize("parts", [("controller", "speakers"), ("speakers",), ("controller",)])
def test_an_implementation_of_one_part_has_an_answer(tmp_path: Path, parts: tuple[str, ...]) -> None:
    """Its cost is that of what there is."""
    made = ResultStore(tmp_path)
    values = {f"rest_{part}_cpu_cores": 0.25 for part in parts} | {f"rest_{part}_bytes": 2.0**20 for part in parts}
    made.add(TrialId(bench="scale", arm="acme", case="services-10"), values)

    ((said,),) = (answer.arms for answer in answers.answers_of(figures.summarize(made, KNOWN)))

    assert said.figure == f"{len(parts) * 0.25:g} cores"
    assert f"memory {len(parts)} MiB" in said.text
