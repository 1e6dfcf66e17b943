"""A rotation of keys: in whatever order it goes, both ends accept each other; and a run to the end finishes it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_rotate_psk
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import collect_keys, record_phases
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore, PskStoreError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import STAGED, SWITCHED, Rotations
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation_steps import (
    Run,
    begin,
    close,
    read_wanted,
    retire,
    switch,
    unproven,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SITES = {
    name: {"ipsec_address": f"210.{number}.{number}.{number}", "ipsec_networks": [f"192.168.{number}.0/24"]}
    for number, name in ((11, "tokyo"), (22, "osaka"), (33, "nara"))
}
PAIR = {name: SITES[name] for name in ("tokyo", "osaka")}


class Fleet:
    """A key store, and what the gateways have: a simulation of the deployments, with everything else real."""

    def __init__(self, directory, sites=PAIR, psks=None):
        self.plan = make_plan(sites)
        self.rotations = Rotations(PskStore(directory / "psk"))
        self.psks = psks or {}
        self.gateways = {}
        for site in self.plan.sites.values():
            if site.managed:
                self.deploy(site.name)

    def deploy(self, site, dies=False):
        """With ``dies``, the controller does before it can remember."""
        ends = self.plan.ends[site]
        keys, _complaints = collect_keys(ends, self.rotations.store, self.psks, make=True)
        self.gateways[site] = {end.peer.name: keys[end.name] for end in ends}
        if not dies:
            record_phases(self.rotations, ends, keys)

    def run(self, **changes):
        arguments = {"given": self.psks, "hosts": frozenset(self.gateways), **changes}
        return Run(self.plan, self.rotations, **arguments)

    def prove(self, site, anybody=False, **changes):
        """Only a key that both prove authenticates, in this direction."""
        for end in unproven(self.run(**changes), site, anybody):
            if end.peer.managed:
                assert self.key(site, end.peer.name) == self.key(end.peer.name, site)
            self.rotations.record_proof(end.local, end.peer)

    def key(self, site, peer):
        return self.gateways[site][peer].current

    def accept_each_other(self, one="tokyo", other="osaka"):
        ours, theirs = self.gateways[one][other], self.gateways[other][one]
        return all(
            proves.current in (accepts.current, accepts.next, accepts.previous)
            for proves, accepts in ((ours, theirs), (theirs, ours))
        )

    def rotate(self, **changes):
        """The playbook's order. The report of its last step."""
        run = self.run(**changes)
        for step in (begin, switch):
            for site in step(run, False).sites:
                self.deploy(site)
        for site in sorted(run.hosts):
            self.prove(site, **changes)
        for site in retire(run, False).sites:
            self.deploy(site)
        return close(run, False)


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


def test_a_run_replaces_the_key_at_both_ends_and_leaves_nothing_else(fleet):
    old = fleet.key("tokyo", "osaka")
    report = fleet.rotate()
    assert report.done == ["osaka--tokyo"] and report.waiting == {}
    assert old != fleet.key("tokyo", "osaka") == fleet.key("osaka", "tokyo")
    assert [path.name for path in fleet.rotations.store.directory.iterdir()] == ["osaka--tokyo.psk"]


OPERATIONS = st.sampled_from(
    [
        ("begin", ""),
        ("switch", ""),
        ("retire", ""),
        ("close", ""),
        *((step, site) for step in ("deploy", "die", "prove") for site in PAIR),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, max_size=40))
def test_in_whatever_order_and_wherever_it_ends_both_ends_accept_each_other(tmp_path_factory, operations):
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    steps = {"begin": begin, "switch": switch, "retire": retire, "close": close}
    for step, site in operations:
        if step in steps:
            steps[step](fleet.run(), False)
        elif step == "prove":
            fleet.prove(site, anybody=True)
        else:
            fleet.deploy(site, dies=step == "die")
        assert fleet.accept_each_other()
    fleet.rotate()
    assert fleet.accept_each_other()
    assert fleet.run().under_way() == []
    assert fleet.key("tokyo", "osaka") == fleet.key("osaka", "tokyo") == fleet.rotations.store.read(*sites(fleet))


def sites(fleet, *names):
    return [fleet.plan.sites[name] for name in names or ("tokyo", "osaka")]


class Died(BaseException):
    """The controller's end: nothing of ours may catch it."""


@pytest.mark.parametrize("writes", range(1, 13))
def test_a_controller_that_dies_at_any_write_leaves_a_rotation_that_can_be_finished(tmp_path, monkeypatch, writes):
    fleet = Fleet(tmp_path)
    left = [writes]

    def dying(method):
        def write(*arguments):
            left[0] -= 1
            if left[0] == 0:
                raise Died
            return method(*arguments)

        return write

    with monkeypatch.context() as patches, pytest.raises(Died):
        for name in ("replace", "write_next", "adopt_next"):
            patches.setattr(PskStore, name, dying(getattr(PskStore, name)))
        fleet.rotate()
    assert fleet.accept_each_other()
    fleet.rotate()
    assert fleet.accept_each_other() and fleet.run().under_way() == []


def test_a_second_run_finishes_what_is_under_way_and_begins_nothing(tmp_path):
    fleet = Fleet(tmp_path, SITES)
    for site in begin(fleet.run(wanted=frozenset({("osaka", "tokyo")})), False).sites:
        fleet.deploy(site)
    nara = fleet.key("nara", "tokyo")
    assert fleet.rotate().done == ["osaka--tokyo"]
    assert fleet.key("nara", "tokyo") == nara
    fleet.rotate()
    assert fleet.key("nara", "tokyo") != nara


def test_a_gateway_that_isnt_reached_keeps_its_pairs_waiting_and_working(tmp_path):
    fleet = Fleet(tmp_path, SITES)
    run = fleet.run()
    begin(run, False)
    for site in ("tokyo", "osaka"):
        fleet.deploy(site)
    report = switch(run, False)
    assert report.done == ["osaka--tokyo"]
    assert report.waiting == dict.fromkeys(("nara--osaka", "nara--tokyo"), "nara must be deployed first")
    fleet.deploy("tokyo")
    assert fleet.accept_each_other("tokyo", "nara") and fleet.accept_each_other()


def test_a_rebuilt_gateway_gets_what_the_rotation_needs(fleet):
    run = fleet.run()
    for site in begin(run, False).sites:
        fleet.deploy(site)
    switch(run, False)
    fleet.deploy("tokyo")
    assert fleet.gateways["tokyo"]["osaka"].phase == SWITCHED and fleet.gateways["osaka"]["tokyo"].phase == STAGED
    fleet.deploy("osaka")
    assert fleet.accept_each_other()
    assert fleet.rotate().done == ["osaka--tokyo"]


def test_what_isnt_proven_keeps_both_keys(fleet):
    run = fleet.run()
    for step in (begin, switch):
        for site in step(run, False).sites:
            fleet.deploy(site)
    report = retire(run, False)
    assert report.done == [] and "both keys stay valid" in report.waiting["osaka--tokyo"]
    for name in PAIR:
        fleet.rotations.record_unaskable(*sites(fleet), name)
    assert retire(run, False).done == ["osaka--tokyo"]


def test_only_pairs_with_both_ends_in_the_run_are_begun(tmp_path):
    fleet = Fleet(tmp_path, SITES)
    report = begin(fleet.run(hosts=frozenset({"tokyo", "osaka"})), False)
    assert report.done == ["osaka--tokyo"]
    assert report.skipped == dict.fromkeys(("nara--osaka", "nara--tokyo"), "nara isn't in this run")


def test_check_mode_begins_nothing(fleet):
    assert begin(fleet.run(), True).done == ["osaka--tokyo"]
    assert fleet.run().under_way() == []


def test_an_unmanaged_peer_is_rotated_when_it_is_named_and_has_got_the_key(tmp_path):
    fleet = Fleet(tmp_path, {**PAIR, "osaka": {**PAIR["osaka"], "ipsec_managed": False}})
    assert "isn't managed" in begin(fleet.run(), False).skipped["osaka--tokyo"]
    wanted = {"wanted": frozenset({("osaka", "tokyo")})}
    assert "hand the new key over to osaka" in fleet.rotate(**wanted).waiting["osaka--tokyo"]
    assert "hand the new key over to osaka" in switch(fleet.run(**wanted), False).waiting["osaka--tokyo"]
    assert fleet.rotate(**wanted, handed_over=True).done == ["osaka--tokyo"]


def test_an_operators_new_key_is_taken_and_he_has_to_enter_it(tmp_path):
    old, new = {("osaka", "tokyo"): b"the operator's old key"}, {("osaka", "tokyo"): b"the operator's new key"}
    fleet = Fleet(tmp_path, psks=old)
    assert "bring the new one in ipsec_psks_next" in begin(fleet.run(), False).skipped["osaka--tokyo"]
    assert fleet.rotate(brought=new).done == ["osaka--tokyo"]
    assert fleet.key("tokyo", "osaka") == new["osaka", "tokyo"]
    with pytest.raises(PskStoreError, match="was rotated: enter the new one") as caught:
        fleet.deploy("tokyo")
    assert "operator's" not in str(caught.value)
    fleet.psks = new
    fleet.deploy("tokyo")
    assert list(fleet.rotations.store.directory.iterdir()) == []


def test_pairs_are_named_singly_or_by_a_site():
    plan = make_plan(SITES)
    assert read_wanted(["tokyo--osaka"], plan) == {("osaka", "tokyo")}
    assert read_wanted(["nara"], plan) == {("nara", "osaka"), ("nara", "tokyo")}
    with pytest.raises(InventoryError, match="'kyoto' is neither a site"):
        read_wanted(["kyoto"], plan)


def test_a_damaged_state_is_named(fleet):
    begin(fleet.run(), False)
    path = fleet.rotations.store.directory / "osaka--tokyo.rotation"
    path.write_text("{")
    with pytest.raises(PskStoreError, match=r"osaka--tokyo\.rotation: damaged"):
        fleet.run().under_way()


class Action(ipsec_rotate_psk.ActionModule):
    """The action plugin on the host tokyo, whose daemon answers as it's told."""

    def __init__(self, fleet, answer=None, **arguments):
        self.answer = answer
        self.told = []
        self.warned = []
        self._display = SimpleNamespace(warning=self.warned.append)
        self._task = SimpleNamespace(check_mode=False, args=arguments, action="ipsec_rotate_psk")
        self._arguments = {"psk_directory": str(fleet.rotations.store.directory), **arguments}

    def validate_argument_spec(self, argument_spec):
        defaults = {name: option.get("default") for name, option in argument_spec.items()}
        return None, {**defaults, **self._arguments}

    def take(self, sites=PAIR):
        variables = {
            "groups": {"ipsec_sites": list(sites)},
            "hostvars": sites,
            "inventory_hostname": "tokyo",
            "ansible_play_hosts_all": list(sites),
        }
        return ipsec_rotate_psk.ActionModule.run(self, task_vars=variables)

    def _execute_module(self, module_name, module_args, task_vars):
        self.told.append((module_name, module_args))
        return self.answer


@pytest.fixture
def no_base(monkeypatch):
    monkeypatch.setattr(ipsec_rotate_psk.ActionBase, "run", lambda *_arguments: {})


@pytest.mark.usefixtures("no_base")
def test_the_plugin_takes_the_steps_and_asks_the_host_only_for_the_proof(fleet):
    assert Action(fleet, step="begin").take()["pairs"] == ["osaka--tokyo"]
    for site in PAIR:
        fleet.deploy(site)
    assert Action(fleet, step="switch").take()["sites"] == ["osaka", "tokyo"]
    for site in PAIR:
        fleet.deploy(site)
    waiting = Action(fleet, step="prove").take()  # osaka begins usually
    assert waiting["pairs"] == [] and not waiting["changed"]
    action = Action(fleet, {"tunnels": {"osaka": "no answer"}, "failed": True}, step="prove", anybody=True)
    assert action.take()["waiting"] == {"osaka--tokyo": "no answer"}
    assert action.warned == ["tokyo: osaka: the new key isn't proven: no answer"]
    assert action.told == [("tanuki.ipsec.ipsec_reauthenticate", {"tunnels": ["osaka"]})]
    result = Action(fleet, {"tunnels": {"osaka": ""}}, step="prove", anybody=True).take()
    assert result["pairs"] == ["osaka--tokyo"]
    assert Action(fleet, step="retire").take()["pairs"] == ["osaka--tokyo"]


@pytest.mark.usefixtures("no_base")
def test_the_plugin_never_shows_a_key(fleet):
    key = "a key that the operator brings"
    result = Action(fleet, step="begin", psks_next={"tokyo--osaka": key}).take()
    assert key not in json.dumps(result)
    assert fleet.rotations.keys(*sites(fleet)).next == key.encode()
    with pytest.raises(AnsibleActionFail, match="ipsec_psks_next: 'tokyo' is not SITE--SITE") as caught:
        Action(fleet, step="begin", psks_next={"tokyo": key}).take()
    assert key not in str(caught.value)
