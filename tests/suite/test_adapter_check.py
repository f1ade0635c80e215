"""`lbproof adapter check`: a line for each thing that it looks at, and an exit code for a CI."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner
from tests.suite.acme import Acme

from lbproof.adapters import rendering
from lbproof.adapters.base import FEATURE_MEMBERS, Adapter, PoolSpec, Workload
from lbproof.adapters.programs import python_image, rendered
from lbproof.lab.base import Image, LabError
from lbproof.run import adapter_lab
from lbproof.run.cli import cli, main
from lbproof.run.lab import RunLab
from lbproof.witnesses.kube import ApiUnreachable, load_manifests
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = cast("Any", None)
STEPS = ["members", "manifests", "images", "class", "pools", "service", "reports"]


def raises(error: Exception) -> Any:  # noqa: ANN401 - it returns nothing
    """Raise an error where a statement is not allowed."""
    raise error


def checked(monkeypatch: pytest.MonkeyPatch, make: Callable[[], object], *more: str) -> tuple[int, list[str]]:
    """Exit code and lines of the command for an adapter."""
    module = ModuleType("acme_lb")
    vars(module)["Acme"] = make
    monkeypatch.setitem(sys.modules, "acme_lb", module)
    done = CliRunner().invoke(cli, ["adapter", "check", "acme_lb:Acme", *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout.splitlines()


class Right(Acme):
    """Honours every field of a pool."""

    def pools(self, alive: Any, site: Any) -> list[dict[str, Any]]:  # noqa: ANN401, ARG002
        text = {pool.name: repr(pool) for pool in alive}
        return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pools"}, "data": text}]


def test_a_right_adapter_has_a_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with 0."""
    code, lines = checked(monkeypatch, Right)

    assert code == 0, lines
    assert [line.split()[1] for line in lines] == STEPS
    assert all(line.startswith("✓ ") for line in lines)


@pytest.mark.parametrize("feature", FEATURE_MEMBERS)
def test_a_member_of_a_feature_that_is_not_claimed_is_not_needed(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    """And never read."""
    own = {name: value for kind in (Acme, Right) for name, value in vars(kind).items() if not name.startswith("__")}
    del own[FEATURE_MEMBERS[feature]]
    own["features"] -= {feature}

    code, lines = checked(monkeypatch, type("Acme", (Adapter,), own))

    assert code == 0, lines


def wrong(**members: Any) -> type[Acme]:  # noqa: ANN401 - of any type
    """The model with other members."""
    return type("Acme", (Acme,), members)


def images(count: int = 1, **values: Any) -> type[Acme]:  # noqa: ANN401 - of any type
    """The model with a program for its image."""
    return wrong(images=lambda *_: [Image(**{"pattern": "acme", "program": "/bin/sh"} | values)] * count)


def fails(*_: object) -> Any:  # noqa: ANN401 - it returns nothing
    """Fail as a program that an adapter runs fails."""
    raise LabError("`helm template acme` ended with exit code 1: no chart")


@pytest.mark.parametrize(
    ("make", "step", "says"),
    [
        (wrong(features=frozenset({"core", "l22"})), "members", "unknown feature 'l22'"),
        (wrong(workloads=None), "members", "workloads is None"),
        (wrong(manifests=fails), "manifests", "adapter acme: manifests(): `helm template acme` ended with exit code 1"),
        (
            wrong(manifests=lambda *_: dict[str, Any]()["x"]),
            "manifests",
            "adapter acme: manifests() failed: KeyError: 'x'",
        ),
        (wrong(manifests=lambda *_: [{"kind": "Pod"}]), "manifests", "which lacks apiVersion, kind or metadata.name"),
        (wrong(images=lambda *_: ["acme"]), "images", "images().0 is 'acme': an instance of Image is wanted"),
        (wrong(images=lambda *_: [Image(pattern="acme", program="/no/such")]), "images", "names '/no/such'"),
        (images(program="sh"), "images", "names 'sh' for acme: the absolute path"),
        (images(program=__file__), "images", "names the program '" + __file__ + "' for acme, which cannot be executed"),
        (
            images(program=Path("/bin/sh")),
            "images",
            "images().0.program is PosixPath('/bin/sh'): text is wanted, as str(",
        ),
        (images(binds=("/no/such",)), "images", "names '/no/such' for acme"),
        (images(binds="/usr"), "images", "images().0.binds is '/usr': a tuple is wanted"),
        (images(env={"A": 1}), "images", "images().0.env.A is 1: text is wanted"),
        (images(count=2), "images", "images() has the image 'acme' twice"),
        (wrong(images=lambda *_: [python_image("acme", "a.py")]), "images", "'a.py' is one text; a list is wanted"),
        (wrong(manifests=lambda *_: rendered("helm template")), "manifests", "a list is wanted: ['helm template']"),
        (
            wrong(manifests=lambda *_: sys.exit(3)),
            "manifests",
            "manifests() failed: SystemExit: 3 (test_adapter_check.py:",
        ),
        (wrong(manifests=lambda *_: load_manifests("a: b: c")), "manifests", "line 1, column 5"),
        (wrong(manifests=lambda *_: []), "class", "is the same with and without site.class_only"),
        (wrong(pools=lambda *_: []), "pools", "is the same with and without a second pool (a network)"),
        (wrong(), "pools", "is the same for auto_assign True and False, but auto-assign is claimed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, make: type[Acme], step: str, says: str
) -> None:
    """The step and the reason; the other steps have their lines all the same."""
    code, lines = checked(monkeypatch, make)

    assert code == 1
    (line,) = (line for line in lines if says in line)
    assert line.startswith(f"✗ {step} ")


FIELDS = {
    "auto-assign": "auto_assign",
    "include-edges": "include_edges",
    "advertised": "advertised",
    "pool-scope": "namespaces",
    "pool-labels": "labels",
    "pool-priority": "priority",
    "if-select": "interfaces",
    "node-select": "nodes",
    "pair-select": "pairs",
}


def test_every_field_of_a_pool_has_its_feature() -> None:
    """So that none is left out below."""
    assert {"name", "blocks", *FIELDS.values()} == {field.name for field in fields(PoolSpec)}


@pytest.mark.parametrize("claimed", [True, False], ids=["claimed", "not claimed"])
@pytest.mark.parametrize("feature", FIELDS)
def test_a_field_of_a_pool_that_is_ignored_is_found_where_it_is_claimed(
    monkeypatch: pytest.MonkeyPatch, feature: str, claimed: bool
) -> None:
    """Each field whose feature an adapter claims has to change what is rendered."""
    field, default = FIELDS[feature], PoolSpec(name="default", blocks=())

    class Deaf(Right):
        features = (Right.features | {*FIELDS} if claimed else Right.features - {*FIELDS}) | {"core"}

        def pools(self, alive: Any, site: Any) -> list[dict[str, Any]]:  # noqa: ANN401
            return super().pools([replace(pool, **{field: getattr(default, field)}) for pool in alive], site)

    code, lines = checked(monkeypatch, Deaf)

    wrong = [line for line in lines if line.startswith("✗")]
    assert code == claimed, lines
    assert len(wrong) == claimed
    assert all(f"pools() is the same for {field} " in line and f"but {feature} is claimed" in line for line in wrong)


def daemons(**more: Any) -> Any:  # noqa: ANN401 - a function in place of `manifests`
    """`manifests` that returns one DaemonSet with these fields."""
    made = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "acme", "namespace": "acme"}, **more}
    return lambda *_: [made]


def template(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """`spec` of a workload with this template."""
    return {"template": more}


@pytest.mark.parametrize(
    ("manifests", "says"),
    [
        (daemons(), "in which spec is None, not an object"),
        (daemons(spec=None), "DaemonSet acme, in which spec is None, not an object"),
        (daemons(spec=[]), "in which spec is [], not an object"),
        (daemons(spec=template()), "in which spec.template.spec is None, not an object"),
        (daemons(spec=template(spec=7)), "in which spec.template.spec is 7, not an object"),
        (daemons(spec=template(spec={"containers": "x"})), "spec.template.spec.containers is 'x', not a list"),
        (daemons(spec=template(spec={"containers": [{}]})), "spec.template.spec.containers[0] has no image"),
        (daemons(spec=template(spec={"initContainers": [None]})), "spec.template.spec.initContainers[0] has no image"),
        (daemons(spec=template(metadata=7, spec={})), "spec.template.metadata is 7, not an object"),
        (daemons(spec=template(spec={}), at=date(2026, 1, 1)), "is no JSON: Object of type date"),
        (daemons(spec=template(metadata=None, spec={})), "does not match its labels, {}"),
        (daemons(spec=template(spec={}), at=float("nan")), "is no JSON: Out of range float values"),
        (daemons(kind="Deployment", spec=template(spec={})), "but manifests() returns Deployment acme/acme"),
        (
            daemons(metadata={"name": "acme", "namespace": "x"}, spec=template(spec={})),
            "workloads has DaemonSet acme/acme, but manifests() returns DaemonSet x/acme",
        ),
        (daemons(metadata={"name": "acme", "namespace": []}), "which lacks apiVersion, kind or metadata.name"),
    ],
)
def test_a_wrong_manifest_is_one_line(
    monkeypatch: pytest.MonkeyPatch, manifests: Callable[..., object], says: str
) -> None:
    """Whatever part of it is missing or of another type."""
    code, lines = checked(monkeypatch, wrong(manifests=manifests))

    assert code == 1
    (line,) = (line for line in lines if line.startswith("✗ manifests "))
    assert says in line


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("acme/agent", True),
        ("acme/*", True),
        ("agent", False),
        ("registry.example/acme/agent", False),
        ("other", False),
    ],
)
def test_an_image_is_matched_as_in_a_lab(monkeypatch: pytest.MonkeyPatch, pattern: str, found: bool) -> None:
    """A pattern that a netns lab does not take for the image is told without a lab."""
    pod = {"containers": [{"name": "a", "image": "registry.example/acme/agent:v1"}]}
    template = {"metadata": {"labels": {"app": "acme"}}, "spec": pod}
    made = wrong(
        manifests=daemons(spec={"selector": {"matchLabels": {"app": "acme"}}, "template": template}),
        images=lambda *_: [Image(pattern=pattern, program="/bin/sh")],
    )
    _, lines = checked(monkeypatch, made)

    (line,) = (line for line in lines if " images " in line)
    assert line.startswith("✓") == found, line
    if not found:
        assert "images() has no program for registry.example/acme/agent:v1" in line


@pytest.mark.parametrize("spec", [None, 7, {"template": "x"}, {"template": {"spec": {"containers": [{}]}}}], ids=str)
def test_a_custom_resource_has_any_form(monkeypatch: pytest.MonkeyPatch, spec: object) -> None:
    """Only Kubernetes' own workloads have pods that the suite knows."""
    _, lines = checked(monkeypatch, wrong(manifests=daemons(kind="Status", spec=spec)))

    assert "✓ manifests  1 objects; workloads: DaemonSet acme/acme (not among them)" in lines
    assert any(line.startswith("✓ images ") for line in lines)


@pytest.mark.parametrize(
    ("pool_name", "says"),
    [
        (lambda *_: dict[str, str]()["x"], "pool_name() failed: KeyError: 'x'"),
        (lambda *_: None, "pool_name() is None: text is wanted"),
        (lambda *_: "all", "pool_name() is all for two pools, first and second"),
    ],
)
def test_a_wrong_name_of_a_pool_is_one_line(
    monkeypatch: pytest.MonkeyPatch, pool_name: Callable[..., object], says: str
) -> None:
    """It would be found by REQ-04d and EVT-03 alone."""
    _, lines = checked(monkeypatch, wrong(pool_name=pool_name))

    assert any(says in line for line in lines if line.startswith("✗ pools ")), lines


class Reports(Acme):
    """Whose reports are read by code that fails."""

    announcer_status = cast("Any", SimpleNamespace(keeps_history=False, named=lambda *_: dict[str, Any]()["x"]))
    pool_error = cast("Any", lambda *_: 7)


@pytest.mark.parametrize(
    ("step", "says", "of_environment"),
    [
        (lambda: str(rendering.announcers(Reports(), NONE, {})), "announcer_status.named() failed: KeyError", False),
        (lambda: rendering.pool_error(Reports(), NONE, NONE), "pool_error() is 7: text is wanted", False),
        (lambda: raises(ProbeError("client: the probe died")), "client: the probe died", True),
        (lambda: raises(LabError("run as root")), "run as root", True),
        (lambda: raises(ApiUnreachable("no answer")), "no answer", True),
        (lambda: raises(AssertionError("another address")), "another address", False),
    ],
)
def test_a_step_in_a_lab_that_fails_is_one_line(step: Callable[[], str], says: str, of_environment: bool) -> None:
    """The fault of the adapter, of the implementation, or of the lab."""
    line = adapter_lab.timed("step", step)

    assert not line.ok
    assert says in line.text
    assert line.of_environment is of_environment


def test_what_the_cluster_answers_is_no_fault_of_the_adapter() -> None:
    """An error of the API server stays what it is."""
    adapter = wrong(pool_error=lambda *_: raises(ApiUnreachable("no answer")))()

    with pytest.raises(ApiUnreachable):
        rendering.pool_error(adapter, NONE, NONE)


@pytest.mark.parametrize("ended", ["acme/lb-1 on w01 (3 times)", ""])
def test_a_clean_up_that_fails_is_a_line(monkeypatch: pytest.MonkeyPatch, ended: str) -> None:
    """After that of the step, and of the pods whose containers have ended."""
    workloads = SimpleNamespace(ended=lambda: [ended] if ended else [])
    run = cast("Any", SimpleNamespace(adapter=wrong()(), claims=lambda feature: feature == "core", workloads=workloads))
    check = SimpleNamespace(close=lambda **_: raises(AssertionError("pool one is gone: not within 5 s")), run=run)
    monkeypatch.setattr(adapter_lab, "CheckContext", lambda *_, **__: check)
    monkeypatch.setattr(adapter_lab._Steps, "service", fails)  # noqa: SLF001 - no other way to fail in a lab on paper

    lines = [str(line) for line in adapter_lab.in_lab(run)]

    pods = ["pods"] if ended else []
    assert [line.split()[1] for line in lines] == ["service", *pods, "clean-up"]
    assert ended in "".join(lines)
    assert lines[-1].endswith("pool one is gone: not within 5 s")


def test_a_lab_that_does_not_boot_is_exit_69(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `lbproof run` without root."""
    monkeypatch.setattr(RunLab, "boot", lambda *_: raises(LabError("a lab needs root")))
    code, lines = checked(monkeypatch, Right, "--boot")

    assert code == 69
    assert "a lab needs root" in lines[-1]


def test_a_selector_that_matches_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods would never be seen as ready."""
    template = {"metadata": {"labels": {"app": "acme-lb"}}, "spec": {"containers": []}}
    daemons = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "acme", "namespace": "acme"}}
    made = wrong(
        manifests=lambda *_: [{**daemons, "spec": {"template": template}}],
        workloads=(Workload(kind="DaemonSet", namespace="acme", name="acme", selector={"app": "acme"}),),
    )

    _, lines = checked(monkeypatch, made)

    assert any("does not match its labels, {'app': 'acme-lb'}" in line for line in lines)


def test_an_unknown_name_is_a_wrong_use() -> None:
    """Exit 64, with the nearest name."""
    done = CliRunner().invoke(cli, ["adapter", "check", "metalb"])

    assert "did you mean 'metallb'?" in str(done.exception)


def test_the_command_alone_is_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64, without a prefix or a hint after it."""
    monkeypatch.setattr(sys, "argv", ["lbproof", "adapter"])
    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 64
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: ")
    assert "see lbproof --help" not in shown
