"""Runs that were never run: their events, in the documented format, and the folders that hold them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from tests.report.page import Page

from lbproof.report import bundle
from lbproof.spec import BUDGETS, PROFILES, REQUIREMENTS, SPEC_VERSION, Conclusion, Exit, Level, lacking
from lbproof.spec.events import FORMAT
from lbproof.spec.requirements import needs_of, of_case

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = "192.168.172.170"
CLIENT, FIRST, SECOND = "02:00:c0:a8:ac:32", "02:00:c0:a8:ac:97", "02:00:c0:a8:ac:98"
NODES = {CLIENT: "client", FIRST: "w01", SECOND: "w02"}
NOBODY, ALL = "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
AT = "2026-11-23T18:28:01.324Z"


def request(t: float, address: str = ADDRESS) -> dict[str, Any]:
    """The client asks who has an address."""
    return _frame(t, "request", CLIENT, "192.168.172.50", to=(ALL, NOBODY, address))


def reply(t: float, mac: str, address: str = ADDRESS) -> dict[str, Any]:
    """A node tells the client that it has an address."""
    return _frame(t, "reply", mac, address, to=(CLIENT, CLIENT, "192.168.172.50"))


def _frame(t: float, op: str, mac: str, ip: str, *, to: tuple[str, str, str]) -> dict[str, Any]:
    ether_dst, target_mac, target_ip = to
    return {
        "t": t,
        "op": op,
        "sender_mac": mac,
        "sender_ip": ip,
        "target_mac": target_mac,
        "target_ip": target_ip,
        "ether_src": mac,
        "ether_dst": ether_dst,
        "node": NODES.get(mac, ""),
    }


@dataclass(slots=True)
class Story:
    """The events of a run, one after the other."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    t: float = 0.0

    def add(self, event: str, *, t: float | None = None, **fields: Any) -> Self:  # noqa: ANN401 - it is JSON
        """An event, half a second after the one before unless a time is given."""
        self.t = self.t + 0.5 if t is None else t
        self.rows.append({"event": event, "t": self.t, "at": AT, **fields})
        return self

    def judged(self, case: str, verdict: str = "passed", *, seconds: float = 0.25, **fields: Any) -> Self:  # noqa: ANN401
        """A case that ran, from before what was told of it until `seconds` later, or until now if that is later."""
        node = f"x/test_x.py::test_x[{case}]"
        ends = [at for at, row in enumerate(self.rows) if row["event"] == "check.finished" and row["case"] == case]
        own = range(ends[-1] + 1 if ends else 0, len(self.rows))
        place = next((at for at in own if self.rows[at].get("case") == case), len(self.rows))
        began = self.rows[place]["t"] - self.rows[place].get("took", 0.0) if place < len(self.rows) else self.t + 0.5
        self.rows.insert(place, {"event": "check.started", "t": began, "at": AT, "case": case, "node": node})
        self.t = max(self.t, began + seconds)
        seconds = seconds if self.t - began < seconds + 0.5 else round(self.t - began, 6)
        return self.add("check.finished", t=self.t, case=case, node=node, verdict=verdict, seconds=seconds, **fields)

    def not_run(self, case: str, verdict: str, reason: str) -> Self:
        """A case that never ran."""
        return self.add("check.finished", case=case, node="", verdict=verdict, seconds=0.0, reason=reason)

    def waited(self, case: str | None, budget: str, took: float, *, ok: bool = True) -> Self:
        """A wait by a budget."""
        return self.add(
            "waited",
            case=case,
            mode="settles",
            budget=budget,
            what="default/web is given an address",
            ok=ok,
            took=took,
            within=BUDGETS[budget].default,
            ceiling=BUDGETS[budget].ceiling,
            observed=[[0.01, "Pending"], [took, ADDRESS if ok else "still Pending"]],
        )

    def exchange(self, case: str, frames: list[dict[str, Any]]) -> Self:
        """What a client heard of ARP."""
        return self.add("exchange", case=case, title="ARP at the client", vantage="client", frames=frames)

    def fault(self, case: str, began: float, ended: float | None, target: str = "node w01") -> Self:
        """A power cut, undone unless it has no end."""
        self.add("fault", t=began, case=case, kind="power-cut", target=target, phase="begin")
        if ended is not None:
            self.add("fault", t=ended, case=case, kind="power-cut", target=target, phase="end")
        return self

    def timeline(self, case: str, begin: float, end: float, outage: tuple[float, float] | None = None) -> Self:
        """A client that asked every 10 ms, and was not answered between the times of `outage`."""
        times = [round(begin + n * 0.01, 3) for n in range(round((end - begin) / 0.01) + 1)]
        lost = outage or (0.0, 0.0)
        samples = [[t, None, "timeout"] if lost[0] <= t < lost[1] else [t, 0.002, "web-1"] for t in times]
        return self.add(
            "timeline",
            case=case,
            title=f"requests to {ADDRESS} through the power cut of w01",
            vantage="client",
            period=0.01,
            samples=samples,
            outages=[list(outage)] if outage else [],
        )

    def ended(self, conclusion: Conclusion, **fields: Any) -> Self:  # noqa: ANN401 - it is JSON
        """The run came to its end."""
        begin = next(row["t"] for row in self.rows if (row["event"], row.get("name")) == ("stage", "checks"))
        self.add("stage", t=max(self.t, begin + 30.0), name="checks", phase="end", seconds=max(self.t - begin, 30.0))
        code = int(Exit.of(conclusion))
        return self.add("run.finished", **{"conclusion": conclusion.value, "exit": code, "seconds": self.t} | fields)

    @property
    def lines(self) -> list[str]:
        """What `events.ndjson` holds."""
        return [json.dumps(row, separators=(",", ":")) for row in self.rows]

    def write(self, folder: Path, *, cut: int = 0) -> Path:
        """A run's folder, its evidence included; of the last line the last `cut` characters are missing."""
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(self.lines) + "\n"
        (folder / "events.ndjson").write_text(text[: len(text) - cut] if cut else text, encoding="utf-8")
        for row in self.rows:
            if row["event"] == "evidence":
                path = folder / row["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{row['title']}\n", encoding="utf-8")
        return folder


WHOLE = ["core", "default-class", "explicit-ip-annotation", "pool", "refusal-reason"]
"""What the sample `whole` claims."""


def _begin(*selected: str, **fields: Any) -> Story:  # noqa: ANN401 - it is JSON
    """A run that has booted and is about to judge the cases named."""
    started = {
        "format": FORMAT,
        "spec": SPEC_VERSION,
        "suite": "0.1.0",
        "implementation": "reference",
        "version": "0.1.0",
        "claimed": ["core", "l2", "pool"],
        "profile": "full",
        "selected": list(selected),
        "left_out": {},
        "budgets": {name: budget.default for name, budget in BUDGETS.items()},
        "command": ["/opt/bin/lbproof", "run", "--requirement", "L2 POOL"],
    }
    story = Story().add("run.started", t=0.0, **started | fields)
    story.add("stage", name="boot", phase="begin")
    story.add("stage", name="progress", phase="begin", note="lab run-1: segment and certificates (0.1 s)")
    story.add("stage", t=0.5 + 4.25, name="boot", phase="end", seconds=4.25)
    story.add("environment", facts={"kubernetes": "v1.36.3", "kernel": "6.18"})
    story.waited(None, "restarted", 2.5)
    return story.add("stage", name="checks", phase="begin")


def _passed() -> Story:
    story = _begin("POOL-01", "L2-01", "FAIL-01")
    story.waited("POOL-01", "address_assigned", 0.4).judged("POOL-01").judged("L2-01")
    story.fault("FAIL-01", 12.0, 14.0).timeline("FAIL-01", 10.0, 16.0, (12.1, 12.6))
    return story.judged("FAIL-01", seconds=6.5).ended(Conclusion.PARTIAL)


def _profile(profile: str, claimed: list[str]) -> Story:
    """Every case of a profile: what is claimed passed."""
    cases = [
        i for r in REQUIREMENTS.values() for i in r.case_ids if not lacking(needs_of(i), PROFILES[profile].features)
    ]
    selected = [case for case in cases if not lacking(needs_of(case), claimed)]
    story = _begin(*selected, profile=profile, claimed=claimed)
    for case in cases:
        if case in selected:
            story.waited(case, "serves", 0.4)
            if of_case(case).level is Level.INFO:
                story.add("measured", case=case, what="pool of a node", value="refused", unit="")
            story.judged(case)
        else:
            missing = ", ".join(lacking(needs_of(case), claimed))
            story.not_run(case, "unsupported", f"{missing} not claimed")
    return story


def _whole() -> Story:
    return _profile("core", WHOLE).ended(Conclusion.CONFORMANT)


def _unclaimed() -> Story:
    return _profile("layer2", ["core"]).ended(Conclusion.NOT_CONFORMANT)


def _few() -> Story:
    return _profile("layer2", ["core", "l2", "pool"]).ended(Conclusion.CONFORMANT)


def _failed() -> Story:
    story = _begin("POOL-01", "POOL-02a", "POOL-02b", "L2-01", "FAIL-01")
    story.judged("POOL-01").judged("POOL-02a")
    story.waited("POOL-02b", "address_assigned", 5.02, ok=False)
    story.judged("POOL-02b", "failed", reason="default/b shares 192.168.172.170", expected="an address of its own")
    story.add("saw", case="L2-01", witness="arp", what=f"3 requests for {ADDRESS}", value={"answers": {FIRST: 3}})
    story.add("evidence", case="L2-01", kind="pcap", title="Frames at the client", path="evidence/L2-01/client.pcap")
    story.add("evidence", case="L2-01", kind="objects", title="Services", path="evidence/L2-01/objects.json")
    story.exchange("L2-01", [request(9.0), reply(9.001, FIRST), reply(9.002, SECOND), reply(9.5, FIRST, "10.0.0.9")])
    story.judged(
        "L2-01",
        "failed",
        reason=f"one node answers for {ADDRESS}: not within 5 s",
        expected=f"one node answers for {ADDRESS}",
        observed="after 0.17 s: w01, w02",
    )
    story.fault("FAIL-01", 22.0, 30.0).timeline("FAIL-01", 20.0, 32.0, (22.1, 28.1))
    story.judged("FAIL-01", "failed", reason="an outage of 6.00 s", expected="at most 5 s", observed="6.00 s")
    return story.ended(Conclusion.NOT_CONFORMANT)


def _interrupted() -> Story:
    story = _begin("POOL-01", "L2-01").judged("POOL-01")
    return story.add("check.started", case="L2-01", node="l2/test_l2.py::test_x[L2-01]").waited("L2-01", "announced", 1)


def _untestable() -> Story:
    story = _begin("POOL-01", "L2-01").judged("POOL-01")
    reason = "kube-proxy runs in another mode: ipvs"
    story.judged("L2-01", "untestable", reason=reason, untestable="PROXY_MODE")
    return story.ended(Conclusion.INCONCLUSIVE)


def _broke() -> Story:
    story = _begin("POOL-01", "L2-01").judged("POOL-01")
    trace = "Traceback (most recent call last):\n  File 'x.py', line 1\nKeyError: 'x'\n"
    story.judged("L2-01", "error", reason="before the check: 'x'", traceback=trace)
    return story.ended(Conclusion.INCONCLUSIVE)


def _left_out() -> Story:
    why = "skipped: left out by --skip L2"
    story = _begin("POOL-01", left_out={"L2-01": why})
    story.not_run("L2-01", "skipped", "left out by --skip L2").not_run("L2-03", "unsupported", "l2-nonic not claimed")
    return story.judged("POOL-01").ended(Conclusion.INCONCLUSIVE)


def _flaky() -> Story:
    story = _begin("POOL-01", "L2-01").judged("POOL-01")
    story.waited("L2-01", "announced", 5.0, ok=False).judged("L2-01", "failed", reason="two nodes answer")
    reason = "passed only on a second look; the first: failed: two nodes answer"
    return story.judged("L2-01", flaky=True, reason=reason).ended(Conclusion.INCONCLUSIVE)


SAMPLES: dict[str, tuple[Callable[[], Story], Conclusion]] = {
    "passed": (_passed, Conclusion.PARTIAL),
    "whole": (_whole, Conclusion.CONFORMANT),
    "unclaimed": (_unclaimed, Conclusion.NOT_CONFORMANT),
    "few": (_few, Conclusion.CONFORMANT),
    "failed": (_failed, Conclusion.NOT_CONFORMANT),
    "interrupted": (_interrupted, Conclusion.INCONCLUSIVE),
    "untestable": (_untestable, Conclusion.INCONCLUSIVE),
    "error": (_broke, Conclusion.INCONCLUSIVE),
    "left-out": (_left_out, Conclusion.INCONCLUSIVE),
    "flaky": (_flaky, Conclusion.INCONCLUSIVE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A run of the samples, written to a folder."""

    name: str
    folder: Path
    story: Story
    conclusion: Conclusion


@pytest.fixture(scope="session")
def begin() -> Callable[..., Story]:
    """Begin the story of a run, to go on with as a test likes."""
    return _begin


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Sample]:
    """Write one of the samples by its name."""

    def write(name: str) -> Sample:
        make, conclusion = SAMPLES[name]
        story = make()
        folder = story.write(tmp_path / name, cut=40 if name == "interrupted" else 0)
        return Sample(name=name, folder=folder, story=story, conclusion=conclusion)

    return write


@pytest.fixture(params=SAMPLES)
def each(request: pytest.FixtureRequest, sample: Callable[[str], Sample]) -> Sample:
    """Every one of the samples."""
    return sample(request.param)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What frames are made of."""

    client: str = CLIENT
    first: str = FIRST
    second: str = SECOND
    request: Callable[..., dict[str, Any]] = request
    reply: Callable[..., dict[str, Any]] = reply


@pytest.fixture(scope="session")
def arp() -> Frames:
    """ARP frames as the events hold them."""
    return Frames()


@pytest.fixture(scope="session")
def page() -> Callable[[str], Page]:
    """Read an HTML page."""
    return Page


@pytest.fixture(scope="session")
def whole_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests only copy: a conformant run over a whole profile, its reports made."""
    folder = _whole().write(tmp_path_factory.mktemp("whole") / "whole")
    bundle.write(folder)
    return folder


@pytest.fixture
def whole(whole_once: Path, tmp_path: Path) -> Path:
    """The folder of a conformant run over a whole profile, its reports made."""
    return Path(shutil.copytree(whole_once, tmp_path / "whole"))
