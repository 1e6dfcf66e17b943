"""The status document, events and packets as text: for people, and as metrics."""

from __future__ import annotations

import pytest

from ike.cli import event_text, status_text

STATUS = {
    "ike_sas": [],
    "tunnels": [
        {"name": "a_out", "remote": "a", "state": "up", "reason": "", "child_sas": [{}]},
        {"name": "b_out", "remote": "b", "state": "down", "reason": 'says "no"\nand more', "child_sas": []},
    ],
    "counters": {"received": 7, "dropped": 3},
}


def test_metrics_have_what_is_configured_what_is_up_and_why_not():
    lines = status_text.prometheus(STATUS).splitlines()
    assert 'ipsec_tunnel_up{tunnel="a_out",remote="a"} 1' in lines
    assert 'ipsec_tunnel_up{tunnel="b_out",remote="b"} 0' in lines
    reason = r"says \"no\"\nand more"
    assert 'ipsec_tunnel_down{{tunnel="b_out",remote="b",state="down",reason="{}"}} 1'.format(reason) in lines
    assert not [line for line in lines if line.startswith('ipsec_tunnel_down{tunnel="a_out"')]
    assert 'ipsec_ike_messages_total{kind="dropped"} 3' in lines


@pytest.mark.parametrize(("lifetime", "age"), [(28800, "3 s of 28800"), (0, "3 s")])
def test_an_age_is_told_with_the_lifetime_if_there_is_one(lifetime, age):
    ends = {end: {"address": "192.0.2.1", "port": 500} for end in ("local", "peer")}
    ike = {
        "remote": "a",
        "version": 2,
        "state": "connecting",
        **ends,
        "ppk": "",
        **dict.fromkeys(("encryption", "integrity", "prf", "group"), ""),
        "age": 3,
        "lifetime": lifetime,
    }
    (line,) = [
        line for line in status_text.people({**STATUS, "ike_sas": [ike], "tunnels": []}).splitlines() if "v2" in line
    ]
    assert line.endswith("  " + age)


def test_an_event_is_a_line_with_what_is_known():
    line = event_text.event(
        {"time": 0, "event": "child_failed", "remote": "b", "tunnel": "b_out", "reason": "no answer"}
    )
    assert line.split(maxsplit=1)[1].split() == ["child_failed", "b_out", "(no", "answer)"]
    assert "12 events were lost" in event_text.event({"time": 0, "event": "cut_off", "lost": 12})


def test_a_packet_is_a_line_for_its_way_one_for_the_message_and_one_for_each_payload():
    packet = {
        "age": 1.5,
        "direction": "received",
        "times": 3,
        "local": "192.0.2.1[500]",
        "peer": "192.0.2.2[500]",
        "message": "IKEv2 IKE_SA_INIT request",
        "payloads": ["Nonce, 32 bytes"],
    }
    way, message, payload = event_text.packets([packet], 1000.0)
    assert way.split(maxsplit=1)[1] == "192.0.2.1[500] <- 192.0.2.2[500]  (3 times)"
    assert (message.strip(), payload.strip()) == ("IKEv2 IKE_SA_INIT request", "Nonce, 32 bytes")
