"""Adapters are validated before anything is booted: each wrong member is one line that names it."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from tests.suite.acme import Acme

from lbproof.adapters.base import FEATURE_MEMBERS, Adapter, Cause, Workload
from lbproof.adapters.installed import adapters, load
from lbproof.adapters.reports import (
    AnnouncerAnnotation,
    AnnouncerEvent,
    AnnouncerLease,
    AnnouncerResource,
    ConditionPattern,
    EventPattern,
    MetadataKey,
)
from lbproof.adapters.validation import data_members, members, methods, validate, validate_claims
from lbproof.run import adapter_check
from lbproof.run.options import read
from lbproof.run.session import Session
from lbproof.spec import FEATURES, BadOption, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = sorted(set(members()) - {name for name in vars(Adapter) if name not in {"manifests", "pools", "pool_usage"}})
"""Members without a default."""
WRONG: dict[str, Any] = dict.fromkeys(members(), 7)
"""Values of another type, for every member."""


def without(name: str) -> type[Adapter]:
    """An adapter with every member but one."""
    rest = {key: value for key, value in vars(Acme).items() if key != name and not key.startswith("__")}
    return type("Acme", (Adapter,), rest)


def refused(adapter: object) -> str:
    """The one line by which an adapter is refused."""
    with pytest.raises((BadOption, UnknownName)) as caught:
        validate(adapter, "acme")
    line = str(caught.value)
    assert "\n" not in line
    assert "adapter acme" in line
    return line


def test_the_model_has_every_member_and_is_accepted() -> None:
    """So the tests below remove and misspell each of them."""
    assert set(members()) <= set(vars(Acme))
    assert validate(Acme(), "acme").name == "acme"


@pytest.mark.parametrize("name", members())
def test_a_member_that_is_missing_is_named_or_has_a_default(name: str) -> None:
    """A member without a default is refused, with the feature that needs it; any other is not needed."""
    adapter = without(name)()

    if name not in NEEDED:
        assert validate(adapter, "acme") is adapter
        return
    line = refused(adapter)
    assert f"lacks the member {name}" in line
    for feature, member in FEATURE_MEMBERS.items():
        assert (f"the feature {feature} needs" in line) == (member == name), line


@pytest.mark.parametrize("feature", FEATURE_MEMBERS)
def test_a_member_is_not_needed_without_its_feature(feature: str) -> None:
    """What is optional belongs to a feature."""
    adapter = without(FEATURE_MEMBERS[feature])()
    adapter.features = adapter.features - {feature}

    assert validate(adapter, "acme") is adapter


def misspelt(name: str) -> list[str]:
    """A letter less, a letter more, two that are swapped."""
    return [name[:-2] + name[-1], f"{name}s", f"{name[:-2]}{name[-1]}{name[-2]}"]


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name in members() for wrong in misspelt(name) if wrong != name]
)
def test_a_member_that_is_misspelt_is_named_with_the_right_spelling(name: str, wrong: str) -> None:
    """Also one that has a default, which would otherwise be used in silence."""
    kind = without(name)
    setattr(kind, wrong, vars(Acme)[name])

    assert f"unknown member {wrong!r}; did you mean {name!r}?" in refused(kind())


@pytest.mark.parametrize("name", members())
def test_a_member_of_another_type_is_named(name: str) -> None:
    """The member, what it is, and what is right."""
    kind = without(name)
    setattr(kind, name, WRONG[name])

    line = refused(kind())
    assert name in line
    assert "7" in line


@pytest.mark.parametrize("name", methods())
def test_a_method_with_another_signature_is_named(name: str) -> None:
    """How it is called is in the line."""
    kind = without(name)
    setattr(kind, name, lambda _self, *, word: word)

    assert f"cannot be called as {name}(" in refused(kind())


def changed(**values: object) -> Adapter:
    """The model with other values."""
    adapter = Acme()
    for name, value in values.items():
        setattr(adapter, name, value)
    found: Adapter = adapter
    return found


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"features": frozenset({"core", "poool"})}, "unknown feature 'poool' in adapter acme; did you mean 'pool'?"),
        ({"budgets": {"failver": 3}}, "unknown budget 'failver' in adapter acme; did you mean 'failover'?"),
        ({"budgets": {"failover": 1000}}, "budget failover = 1000 in adapter acme: more than 0 and at most 40 s"),
        ({"features": ["core"]}, "features is ['core']: a frozenset is wanted"),
        ({"workloads": ("speaker",)}, "workloads.0 is 'speaker'"),
        ({"proxy_mode": "nftabels"}, "did you mean 'nftables'?"),
        ({"service_opt_in": {"metadatas": {}}}, "did you mean 'metadata'?"),
        (
            {"service_opt_in": {"metadata": {"labels": {1, 2}}}},
            "service_opt_in.metadata.labels is {1, 2}: a mapping is wanted",
        ),
        ({"refusals": {}}, "refusals has no pattern for pool-exhausted, not-in-pool, in-use, bad-request"),
        ({"refusals": {"full": EventPattern(type="Warning", reason="x")}}, "refusals[key] is 'full'"),
        ({"version": ""}, "version is ''"),
        ({"name": "../acme"}, "name is '../acme': it is part of a file name"),
        ({"name": "x" * 101}, "at most 100 bytes"),
        ({"features": frozenset({"pool"})}, "features lacks 'core'"),
        ({"budgets": {"failover": float("nan")}}, "budget failover = nan"),
        ({"budgets": {"failover": True}}, "budget failover = True"),
        ({"proxy_mode": "ipvs"}, "unknown kube-proxy mode 'ipvs'"),
        ({"proxy_mode": "x"}, "(iptables, nftables, none)"),
        ({"components": ("foo",)}, "unknown component 'foo' in adapter acme: components"),
        ({"files": ("metallb-manifst",)}, "did you mean 'metallb-manifest'?"),
        ({"pool_marks": ()}, "pool_marks is empty, but the feature pool-mark needs it"),
        ({"address_annotation": ""}, "address_annotation is empty"),
        ({"announcer_status": AnnouncerLease}, "an instance of AnnouncerStatus is wanted"),
        ({"workloads": (*Acme.workloads, *Acme.workloads)}, "workloads has DaemonSet acme/acme twice"),
        (
            {"service_opt_in": {"metadata": {"name": "x"}}},
            "unknown key 'name' in adapter acme: service_opt_in.metadata",
        ),
        ({"service_opt_in": {"metadata": {"annotation": {}}}}, "did you mean 'annotations'?"),
        (
            {"service_opt_in": {"metadata": {"labels": {"a": 1}}}},
            "service_opt_in.metadata.labels.a is 1: text is wanted",
        ),
        (
            {"service_opt_in": {"metadata": {"labels": {"a b": "c"}}}},
            "service_opt_in.metadata.labels is 'a b', no qualified name",
        ),
        ({"service_opt_in": {"spec": {"type": "ClusterIP"}}}, "spec.type is 'ClusterIP': 'LoadBalancer' is wanted"),
        ({"service_opt_in": {"spec": {"loadbalancerClass": "a"}}}, "did you mean 'loadBalancerClass'?"),
        ({"service_opt_in": {"spec": {"loadBalancerClass": 5}}}, "loadBalancerClass is 5: text is wanted"),
    ],
)
def test_a_value_that_is_wrong_is_named(values: dict[str, object], says: str) -> None:
    """With the nearest right one where there is one."""
    assert says in refused(changed(**values))


def test_causes_of_requests_are_needed_by_who_can_be_asked() -> None:
    """An implementation that takes no requests has nothing to say about them."""
    asked = {"explicit-ip-annotation", "explicit-ip-field"}
    adapter = changed(
        features=frozenset(FEATURES) - asked,
        refusals={Cause.POOL_EXHAUSTED: EventPattern(type="Warning", reason="Full")},
    )

    assert validate(adapter, "acme") is adapter


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EventPattern(type="Warning", reason="["), "EventPattern: reason = '[' is not a regular expression"),
        (lambda: EventPattern(type="warning", reason=""), "type is 'warning'; it is Normal or Warning"),
        (lambda: ConditionPattern(type="x", status="false"), "status is 'false'"),
        (MetadataKey, "an annotation or a label"),
        (lambda: MetadataKey(annotation="a", label="b"), "an annotation or a label"),
        (
            lambda: AnnouncerEvent(event=EventPattern(type="Normal", reason="x")),
            "AnnouncerEvent: message = '' has no group (?P<node>…)",
        ),
        (lambda: AnnouncerAnnotation(annotations=("a",), value="(.+)"), "has no group (?P<node>…)"),
        (lambda: AnnouncerLease(namespace="x", name="{service}"), "'{service}' may contain {namespace} and {name}"),
        (lambda: workload(kind="Deploymnt"), "unknown kind 'Deploymnt'; did you mean 'Deployment'?"),
        (lambda: workload(selector={}), "an empty selector matches every pod of acme"),
        (
            lambda: workload(roles={"speaker"}),
            "Workload.roles[element] is 'speaker': one of controller, announcer is wanted",
        ),
    ],
)
def test_a_pattern_that_is_wrong_is_refused_where_it_is_made(make: Callable[[], object], says: str) -> None:
    """At the import of the adapter's module, which becomes one line of the command."""
    with pytest.raises(BadOption) as caught:
        make()

    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["address_annotation", "own_class"])
@pytest.mark.parametrize("key", ["a b", "a/b/c", "/a", "a/", "-a", "a.", "A_/b", "x" * 64, f"{'x' * 64}/a", "é", "a\n"])
def test_a_key_that_kubernetes_refuses_is_named(name: str, key: str) -> None:
    """As an annotation, a class, and in a pattern."""
    assert f"{name} is {key!r}, no qualified name" in refused(changed(**{name: key}))
    with pytest.raises(BadOption, match="no qualified name"):
        MetadataKey(label=key)


PATTERNS: tuple[Any, ...] = (
    Acme.workloads[0],
    Acme.allocation,
    Acme.pool_request,
    Acme.announcer_status,
    *Acme.refusals.values(),
    AnnouncerAnnotation(annotations=("a",)),
    AnnouncerResource(path="/api/v1/nodes", labels={"a": "{name}"}, field="status.node"),
    AnnouncerEvent(event=EventPattern(type="Normal", reason="x", message="(?P<node>.*)")),
)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        pytest.param(made, field.name, id=f"{number} {type(made).__name__}.{field.name}")
        for number, made in enumerate(PATTERNS)
        for field in dataclasses.fields(made)
    ],
)
def test_a_field_of_another_type_is_refused_where_it_is_made(made: Any, name: str) -> None:  # noqa: ANN401
    """Every field of every pattern, also what is inside a collection."""
    for wrong in (1, None, [1], {"a": 1}, made, type(made)):
        with pytest.raises(BadOption, match=rf"{type(made).__name__}\.{name}\S* is "):
            dataclasses.replace(made, **{name: wrong})


def workload(**values: Any) -> Workload:  # noqa: ANN401 - of any type, right or wrong
    """A workload with other values."""
    return Workload(**{"kind": "DaemonSet", "namespace": "acme", "name": "acme", "selector": {"app": "acme"}} | values)


def module(monkeypatch: pytest.MonkeyPatch, **content: object) -> None:
    """Put a module `acme_lb` where it can be imported."""
    made = ModuleType("acme_lb")
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, "acme_lb", made)


def broken() -> Adapter:
    """Fail as code of a stranger fails."""
    return workload(knd="DaemonSet")  # type: ignore[return-value]


def test_every_way_to_fail_at_loading_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, an attribute, a class that is none, a constructor that fails."""
    module(monkeypatch, Acme=Acme, Broken=broken, Other=dict)
    for name, says in {
        "acme_lbb:Acme": "No module named 'acme_lbb'",
        "acme_lb:Acm": "has no attribute 'Acm'",
        "acme_lb:Other": "dict is not derived from lbproof.adapters.base.Adapter",
        "acme_lb:Broken": "cannot be loaded: TypeError: Workload.__init__() got an unexpected keyword argument 'knd'",
        "metalb": "did you mean 'metallb'?",
    }.items():
        with pytest.raises((BadOption, UnknownName)) as caught:
            load(name, "--implementation")
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)

    assert load("acme_lb:Acme", "--implementation").name == "acme"


def test_every_installed_adapter_is_right() -> None:
    """Those of lbproof."""
    assert {load(name, "here").name for name in adapters()} >= {"reference", "metallb"}


def test_data_and_methods_are_all_that_the_interface_has() -> None:
    """A member that is neither would not be validated."""
    public = {name for name in (*vars(Adapter), *Adapter.__annotations__) if not name.startswith("_")}

    assert public == set(data_members()) | set(methods())


def test_the_model_in_the_documentation_is_right(tmp_path: Path) -> None:
    """What docs/adapters.md shows can be copied: it is accepted, and renders all that it must."""
    page = (Path(__file__).parents[2] / "docs/adapters.md").read_text()
    (tmp_path / "model.py").write_text(page.split("```python\n")[1].split("```")[0])
    (tmp_path / "mine.py").touch()
    (tmp_path / "deploy.yaml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: mine}}")
    spec = importlib.util.spec_from_file_location("model", tmp_path / "model.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)

    lines = list(adapter_check.offline(validate(made.Mine(), "mine"), {}))

    assert [str(line) for line in lines if not line.ok] == []


def test_the_documentation_has_every_member_and_feature_of_a_member() -> None:
    """A row for each in the table of members."""
    page = (Path(__file__).parents[2] / "docs/adapters.md").read_text()

    assert [name for name in members() if f"`{name}`" not in page and f"`{name}(" not in page] == []
    assert [feature for feature in FEATURE_MEMBERS if f"`{feature}`" not in page] == []


@pytest.mark.parametrize(("feature", "member"), FEATURE_MEMBERS.items())
def test_the_operator_claims_nothing_that_has_no_member(feature: str, member: str) -> None:
    """As for what the adapter claims by itself."""
    adapter = without(member)()
    adapter.features = frozenset({"core"})
    validate(adapter, "acme")

    with pytest.raises(BadOption, match=f"^adapter acme: lacks the member {member}, which the feature {feature} needs"):
        validate_claims(adapter, frozenset({"core", feature}), "acme")


def test_the_operator_claims_no_refusal_without_a_pattern() -> None:
    """Refusals of requested addresses are needed where requests are claimed."""
    adapter = Acme()
    adapter.features = frozenset({"core", "pool", "refusal-reason"})
    vars(adapter)["refusals"] = {Cause.POOL_EXHAUSTED: Acme.refusals[Cause.POOL_EXHAUSTED]}
    validate(adapter, "acme")

    with pytest.raises(BadOption, match=r"^adapter acme: refusals has no pattern for not-in-pool, in-use, bad-request"):
        validate_claims(adapter, adapter.features | {"explicit-ip-annotation"}, "acme")


def test_a_run_is_refused_that_claims_more_than_the_adapter_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is booted."""
    made = without("pool_marks")
    made.features = frozenset({"core", "pool"})
    module = ModuleType("acme_lb")
    vars(module)["Acme"] = made
    monkeypatch.setitem(sys.modules, "acme_lb", module)
    options = read(None, {"implementation": "acme_lb:Acme", "features": ("core", "pool-mark")})

    with pytest.raises(pytest.UsageError, match="lacks the member pool_marks, which the feature pool-mark needs"):
        Session(options, command=[])
