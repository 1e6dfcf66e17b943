"""The SPD that a configuration means: the entries that spmd would install, and who wins among them."""

import ipaddress
import re
from pathlib import Path

import pytest

from ike.config.effective import effective
from ike.config.loader import load_text
from ike.policy import sa
from ike.policy.spd import is_unknown, spd_entries

SAMPLES = Path(__file__).resolve().parents[1] / "config" / "samples"
GATEWAY_A = ipaddress.ip_address("210.11.11.11")
GATEWAY_B = ipaddress.ip_address("210.22.22.22")
LAN_A = ipaddress.ip_network("192.168.10.0/24")
LAN_B = ipaddress.ip_network("192.168.20.0/24")


def meaning(*changes):
    text = (SAMPLES / "ikev2_aes.conf").read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count
    loaded = load_text(text.encode(), "site.conf", "tanuki")
    assert loaded.configuration is not None, [str(problem) for problem in loaded.problems]
    return effective(loaded.configuration)


def entries(*changes, **options):
    return spd_entries(meaning(*changes), **options)


def test_worked_example_has_out_in_and_forward():
    outward = sa.Template(sa.ESP, sa.TUNNEL, GATEWAY_A, GATEWAY_B, 0, "require")
    inward = sa.Template(sa.ESP, sa.TUNNEL, GATEWAY_B, GATEWAY_A, 0, "require")
    selector = sa.TrafficSelector(LAN_A, LAN_B)
    found = [(entry.selector, entry.direction, entry.action, entry.templates, entry.name) for entry in entries()]
    assert found == [
        (selector, "out", "ipsec", (outward,), "site_b_out"),
        (selector.reversed(), "in", "ipsec", (inward,), "site_b_in"),
        (selector.reversed(), "fwd", "ipsec", (inward,), "site_b_in"),
    ]


def test_no_forward_entry_where_the_kernel_has_none():
    assert [entry.direction for entry in entries(forward=False)] == ["out", "in"]


def test_transport_mode_has_no_addresses_and_no_forward_entry():
    found = entries(("ipsec_mode tunnel", "ipsec_mode transport"))
    assert [entry.direction for entry in found] == ["out", "in"]
    assert found[0].templates == (sa.Template(sa.ESP, sa.TRANSPORT, level="require"),)


@pytest.mark.parametrize("action, expected", [("none", "bypass"), ("bypass", "bypass"), ("discard", "discard")])
def test_other_actions_ask_for_no_sa(action, expected):
    found = entries(("auto_ipsec", action))
    assert [(entry.direction, entry.action, entry.templates) for entry in found] == [
        ("out", expected, ()),
        ("in", expected, ()),
    ]


def test_reqid_and_level():
    found = entries(("direction outbound;", "direction outbound; reqid 7;"), ("require", "use"))
    assert [(entry.templates[0].reqid, entry.templates[0].level) for entry in found] == [
        (7, "use"),
        (0, "use"),
        (0, "use"),
    ]


def test_install_off_installs_nothing():
    assert entries(("action auto_ipsec;", "action auto_ipsec; install off;")) == ()


def test_bundle_has_its_tunnel_outside_and_transport_for_the_rest():
    found = entries(
        ("sa_index site_b_esp;", "sa_index { site_b_esp; site_b_ah; };"),
        (r"\Z", "sa site_b_ah { sa_protocol ah; ah_auth_alg hmac_sha2_256; };"),
    )
    assert [(template.protocol, template.mode) for template in found[0].templates] == [
        (50, "tunnel"),
        (51, "transport"),
    ]


def test_a_macro_covers_the_other_sides_family():
    found = entries((r'"\$\{B_NET\}"', "IP_ANY"))
    assert str(found[0].selector.destination) == "0.0.0.0/0"
    assert str(found[1].selector.source) == "0.0.0.0/0"


def test_what_goes_to_a_road_warrior_is_held_back_until_its_address_is_known():
    found = entries((r'peers_sa_ipaddr "\$\{B_GW\}"', "peers_sa_ipaddr IP_RW"))
    nowhere = ipaddress.ip_address("0.0.0.0")
    assert [(entry.direction, entry.action, entry.templates[0].level) for entry in found] == [
        (direction, "ipsec", "require") for direction in ("out", "in", "fwd")
    ]
    ends = [(entry.templates[0].source, entry.templates[0].destination) for entry in found]
    assert ends == [(GATEWAY_A, nowhere), (nowhere, GATEWAY_A), (nowhere, GATEWAY_A)]
    assert all(is_unknown(entry.templates[0]) for entry in found)
    assert not any(is_unknown(entry.templates[0]) for entry in entries())


def test_local_macros_are_resolved_for_the_peers_family():
    changes = ((r'my_sa_ipaddr "\$\{A_GW\}"', "my_sa_ipaddr MY_IP"),)
    assert all(is_unknown(entry.templates[0]) for entry in entries(*changes))
    assert (
        entries(*changes, resolve=lambda macro, version: {("MY_IP", 4): GATEWAY_A}.get((macro, version))) == entries()
    )


def test_ports_and_protocol_stand_in_the_selector():
    found = entries(
        (r'dst "\$\{B_NET\}";', 'dst "${B_NET}" port 443; upper_layer_protocol "tcp";'),
        (r'src "\$\{B_NET\}";', 'src "${B_NET}" port 443; upper_layer_protocol "tcp";'),
    )
    assert found[0].selector == sa.TrafficSelector(LAN_A, LAN_B, 6, 0, 443)
    assert found[1].selector == found[0].selector.reversed()


def winner(configuration, source, destination):
    """Which outbound entry a kernel applies: the lowest priority among those that match."""
    matching = [
        entry
        for entry in spd_entries(configuration)
        if entry.direction == "out"
        and ipaddress.ip_address(source) in entry.selector.source
        and ipaddress.ip_address(destination) in entry.selector.destination
    ]
    return min(matching, key=lambda entry: entry.priority).name


ANOTHER = "selector %s { direction outbound; src %s; dst %s; policy_index site_b_pol; };"


def test_the_more_specific_selector_wins_wherever_it_stands():
    first = (
        r"\nselector site_b_out",
        "\n" + ANOTHER % ("wide", "192.168.0.0/16", "192.168.0.0/16") + "\nselector site_b_out",
    )
    configuration = meaning(first)
    assert winner(configuration, "192.168.10.1", "192.168.20.1") == "site_b_out"
    assert winner(configuration, "192.168.11.1", "192.168.20.1") == "wide"


def test_of_two_alike_the_first_one_wins():
    twin = (r"\Z", ANOTHER % ("twin", "192.168.10.0/24", "192.168.20.0/24"))
    assert winner(meaning(twin), "192.168.10.1", "192.168.20.1") == "site_b_out"


def test_priorities_fit_the_kernels_field():
    assert all(0 < entry.priority < 2**31 for entry in entries())
