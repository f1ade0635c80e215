"""Watches that nothing happens follow something newer than the last act of the check: late is not never."""

from __future__ import annotations

import ast
from pathlib import Path

from lbproof import checks

HOME = Path(str(checks.__file__)).parent
WATCHES = {"keep_assigned", "stays_pending", "stays_silent", "stays_unannounced"}
BUDGETS = {"stays_assigned", "stays_pending", "stays_silent", "stays_unannounced"}
"""Of a watch by `consistently`. Others last as long as what is watched for needs, whatever was acted on."""
ANCHORS = {
    "_newer_is_given",
    "after",
    "all_assigned",
    "answered_control",
    "assigned",
    "control",
    "control_apart",
    "control_in_turn",
    "holding",
    "known_to_every_node",
    "taken_up",
    "waits",
}
"""Names of what waits until an implementation has acted on a Service that is newer, or that may be served."""
ACTS = {
    "change_pool",
    "delete",
    "delete_all",
    "discard",
    "leaves_type",
    "patch",
    "pool",
    "remove_pool",
    "request",
    "restart",
    "retype",
    "service",
    "unusable",
    "write_address",
}
JUDGED = "judged once more at the end, after newer Services were given addresses"
REASONS = {
    "crd/test_a_pool_elsewhere_is_not_used.py::test_a_namesake_elsewhere_harms_no_pool": JUDGED,
    "dual/test_families_of_a_service.py::test_a_family_that_is_missing_gives_none": "after `taken_by_several`",
    "etp/local.py::announced_by": "after `holders_within`: nodes that may no longer answer do so no more",
    "evt/test_what_is_at_rest_costs_nothing.py::at_rest": "a precondition, after the refusals of the same Services",
    "fail/test_an_excluded_node_announces_nothing.py::silent": "after the excluded nodes were seen to be silent",
    "fail/test_the_control_plane_is_away.py::test_new_services_wait_for_the_allocator": "the allocator is frozen",
    "l2/test_where_a_pool_is_announced.py::watched": "each address is answered for; who else says so is judged later",
    "pend/test_a_service_that_cannot_be_served_stays_pending.py::test_services_that_cannot_be_served_stay_pending": (
        "case b has no pool; what follows is a control in both cases, with the same Services watched"
    ),
    "pool/test_a_restricted_pool.py::test_a_pool_of_a_namespace_serves_no_other": JUDGED,
    "pool/test_a_restricted_pool.py::test_a_pool_of_labels_serves_no_other": JUDGED,
    "pool/test_addresses_come_from_the_pool.py::stay_inside": "judges what precedes it, where addresses are given",
    "pool/test_every_form_of_a_pool_fills_exactly.py::test_the_ends_of_a_network_are_given_as_declared": (
        "after each address that must be given was"
    ),
    "recl/test_a_deleted_service_gives_its_address_back.py::test_services_of_the_same_names_get_addresses": (
        "a control follows, within the watch of the statuses"
    ),
    "req/test_a_pool_over_addresses_of_hosts.py::seen_for_a_time": "looks at what is given, and verifies nothing",
    "req/test_a_requested_address.py::test_addresses_outside_every_pool_are_refused": "after `refused_for_good`",
    "sec/test_a_forged_status_is_corrected.py::test_a_forged_address_outside_every_pool_is_corrected": (
        "after each forged status was seen to be corrected"
    ),
    "sec/test_fences_of_namespaces_hold.py::test_fences_of_namespaces_hold": JUDGED,
    "share/sharers.py::keep_serving": "more Services go after it, and new ones are given addresses",
    "share/test_sharers_that_change_or_leave.py::test_a_shared_address_has_one_answerer": "within two `sole_holders`",
}
"""Function of a check with a watch that no anchor precedes → why it is none that a slow implementation passes."""


def name_of(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_watch(call: ast.Call) -> bool:
    """Return whether a call verifies for a time that nothing happens."""
    budgets = [ast.literal_eval(one.value) for one in call.keywords if one.arg == "budget"] if is_poll(call) else []
    return name_of(call) in WATCHES or bool(BUDGETS & {*budgets})


def is_poll(call: ast.Call) -> bool:
    """Return whether a call is `consistently` with a budget that is named in place."""
    return name_of(call) == "consistently" and any(
        one.arg == "budget" and isinstance(one.value, ast.Constant) for one in call.keywords
    )


def without_anchor(source: str) -> list[str]:
    """Return the functions with a watch that no anchor precedes, or whose last act before it no anchor follows."""
    bodies = [ast.parse(source).body]
    bodies += [node.body for node in bodies[0] if isinstance(node, ast.ClassDef)]
    found = []
    for function in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        for watch in filter(is_watch, calls):
            before = {name_of(call): 0 for call in calls}
            for call in calls:
                if call.lineno < watch.lineno:
                    before[name_of(call)] = max(before[name_of(call)], call.lineno)
            act, anchor = (max((before.get(name, 0) for name in names), default=0) for names in (ACTS, ANCHORS))
            if not anchor or anchor < act:
                found.append(function.name)
                break
    return found


def test_each_watch_follows_something_newer() -> None:
    """Where it does not, the list says why; nothing is on the list that is gone."""
    found = {
        f"{path.relative_to(HOME)}::{name}"
        for path in sorted(HOME.rglob("*.py"))
        for name in without_anchor(path.read_text())
    }

    assert found == REASONS.keys()


def test_watches_without_an_anchor_are_found() -> None:
    """An anchor before the last act is none, and one on the line of an act follows it."""
    acts = "    check.service('late')\n"
    anchor, both = "    check.control()\n", "    check.known_to_every_node(check.service('newer'))\n"
    watch = "    check.stays_pending(late)\n"
    poll = "    check.wait.consistently(look, good, what='x', budget='stays_silent')\n"
    written = {
        "none": acts + watch,
        "before": anchor + acts + poll,
        "between": acts + anchor + watch,
        "both": acts + both + poll,
        "after": acts + watch + anchor,
    }

    source = "".join(f"def {name}(check):\n{body}" for name, body in written.items())
    assert without_anchor(source) == ["none", "before", "after"]
