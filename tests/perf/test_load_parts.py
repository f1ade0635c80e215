"""What a load is made of, each part by itself: the parser, the histograms, the shapes, the truth of the freeze test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lbproof_perf.benchmarks import load as bench
from lbproof_perf.benchmarks.base import Size
from lbproof_perf.load import meter, wrk
from lbproof_perf.load.freeze import truth
from lbproof_perf.load.http1 import NotHttpError, answer
from lbproof_perf.load.tally import Tally, Times
from lbproof_perf.probes.proc import stat

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "perf" / "manifests"


@given(st.sampled_from([PLAIN, CHUNKED]), st.binary(max_size=20))
def test_a_response_ends_where_it_ends(whole: bytes, more: bytes) -> None:
    """However little of it is there, it is not taken for whole; whatever follows, it is not taken for longer."""
    assert all(answer(whole[:end]) is None for end in range(len(whole)))
    found = answer(whole + more)
    assert found is not None
    assert (found.status, found.size, found.keeps) == (200, len(whole), True)


def test_a_server_that_closes_is_heard() -> None:
    """`Connection: close` in any case means that the next request takes a new connection."""
    found = answer(b"HTTP/1.1 503 No\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n")
    assert found is not None
    assert (found.status, found.keeps) == (503, False)


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n\r\n", b"SSH", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"])
def test_what_is_not_http_is_refused(data: bytes) -> None:
    """Another protocol, or a response whose end nothing tells, is an error and not a wait."""
    with pytest.raises(NotHttpError):
        answer(data)


@given(st.lists(st.floats(1e-6, 100.0), min_size=1, max_size=50), st.integers(0, 20), st.floats(0, 1))
def test_a_quantile_is_within_a_thousandth(seconds: list[float], lost: int, q: float) -> None:
    """Of what was recorded; and what was lost is longer than all of it, so that a quantile can be none."""
    times = Times()
    times.add(seconds)
    ordered = [*sorted(seconds), *[None] * lost]
    wanted = ordered[max(0, -int(-(q * len(ordered) - 1e-9) // 1) - 1)]
    found = Times.decoded(times.encoded()).quantile(q, lost=lost)

    if wanted is None:
        assert found is None
    else:
        assert found == pytest.approx(wanted, rel=2e-3, abs=2e-6)


def test_two_processes_add_up() -> None:
    """The sum of two tallies, after a way through JSON, holds all answers, failures and the whole time."""
    one, other = Tally(), Tally()
    one.latency.add([0.001, 0.002])
    one.lasts(10.0, 11.0)
    other.latency.add([0.003])
    other.failures["timeout"] += 2
    other.unsent = 4
    other.lasts(10.5, 12.0)

    total = Tally.from_json(json.loads(json.dumps(Tally().to_json())))
    for part in (one, other):
        total.merge(Tally.from_json(json.loads(json.dumps(part.to_json()))))

    assert (total.answered, total.failed, total.unsent, total.seconds) == (3, 2, 4, 2.0)
    assert total.latency.bars()[1] == [1, 1, 1]


def test_the_truth_of_a_freeze() -> None:
    """Of 1,000 requests in 10 s, the 200 that are due in 2 s of standstill wait 0 to 2 s: so 50 wait over 1.5 s."""
    must = truth(began=100.0, rate=100.0, seconds=10.0, frozen=103.0, thawed=105.0, usual=0.001, q=0.95)
    assert must == pytest.approx(1.501, abs=0.011)


def test_a_freeze_outside_the_load_changes_nothing() -> None:
    """When the server stands still after the last request, all take what they usually take."""
    assert truth(began=0, rate=10, seconds=5, frozen=6, thawed=8, usual=0.001, q=0.99) == 0.001


def test_locust_is_not_imported_here() -> None:
    """Locust patches sockets and threads: the harness imports the benchmark without it."""
    code = "import sys, lbproof_perf.benchmarks.load; sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shapes() -> None:
    """Each course begins, culminates and ends as it is named; asked in a process of their own, for Locust's sake."""
    code = (
        "from lbproof_perf.load.shapes import Shape, users_at\n"
        "print([[users_at(s, 20, t, 10) for t in (0, 2.6, 5, 9.9, 11)] for s in Shape])\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert json.loads(said) == [[20] * 5, [5, 10, 15, 20, 20], [2, 2, 20, 2, 2], [1, 20, 20, 20, 20]]


def test_stat_of_a_process_with_any_name() -> None:
    """A name with blanks and parentheses does not shift the fields; children that ended are counted."""
    fields = f"S 1 2 77 0 -1 0 0 0 0 0 100 50 30 20 20 0 1 0 4711 {'0 ' * 16}1 0 0"
    found = stat(f"12 (a) b (c) {fields}\n")

    assert (found.session, found.cpu_seconds) == (77, 2.0)
    assert (found.started, found.core) == (4711, 1)


def test_the_machine_was_busy_or_robbed() -> None:
    """Idle and waiting are not busy, and stolen is apart."""
    assert meter.parse_machine("cpu  100 0 100 1000 500 50 50 25 0 0\n") == (3.0, 0.25)


WRK = """Running 2s test @ http://10.0.0.1/
  Latency Distribution
     50%  117.00us
     90%    1.20ms
     99%    1.57ms
  252000 requests in 2.00s, 30MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
Requests/sec: 126000.12
"""


def test_what_wrk_says() -> None:
    """Its rate, its quantiles in seconds, and what failed."""
    assert wrk.parse(WRK) == pytest.approx(
        {
            "requests_per_second": 126000.12,
            "p50_seconds": 0.000117,
            "p90_seconds": 0.0012,
            "p99_seconds": 0.00157,
            "failures": 3,
        }
    )
    with pytest.raises(ValueError, match="no rate"):
        wrk.parse("unable to connect")


def test_rounds_go_there_and_back() -> None:
    """The second round goes through the cells of the first from the end, and no step is twice."""
    made = list(bench.trial_ids(bench.PLANS[Size.FULL], ["a", "b"], ["wrk"]))
    keys = [step.key for step in made]
    first = [(step.arm, step.case) for step in made if step.number == 1 and step.case.count("-") and step.arm in "ab"]
    second = [(step.arm, step.case) for step in made if step.number == 2 and step.case.count("-")]
    there, back = ([cell for cell in cells if not cell[1].startswith("freeze")] for cells in (first, second))

    assert len(set(keys)) == len(keys)
    assert there == back[::-1]


def test_the_manifests_name_files_that_are_there() -> None:
    """Every resource and every module of the ConfigMap exists, and every module that these import is among them."""
    made = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    files = dict(
        line.partition("=")[::2] if "=" in line else (line, line) for line in made["configMapGenerator"][0]["files"]
    )
    assert all((MANIFESTS / path).is_file() for path in (*made["resources"], *files.values()))
    for path in files.values():
        for line in (MANIFESTS / path).read_text().splitlines():
            if line.startswith("from lbproof_perf.load.") and not line.startswith("from lbproof_perf.load.users"):
                assert f"{line.split()[1].rpartition('.')[2]}.py" in files, f"{path}: {line}"


def test_the_operators_resource_names_what_is_made() -> None:
    """The ConfigMap and the image are those of the Jobs."""
    test = yaml.safe_load((MANIFESTS / "locusttest.yaml").read_text())
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    jobs = [made for made in yaml.safe_load_all((MANIFESTS / "jobs.yaml").read_text()) if made["kind"] == "Job"]

    assert (test["apiVersion"], test["kind"]) == ("locust.io/v1", "LocustTest")
    assert test["metadata"]["namespace"] == kustomization["namespace"]
    assert test["spec"]["locustfile"]["configMap"]["name"] == kustomization["configMapGenerator"][0]["name"]
    images = {job["spec"]["template"]["spec"]["containers"][0]["image"] for job in jobs}
    assert images == {test["spec"]["image"]}
