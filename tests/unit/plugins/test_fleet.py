"""The fleet's report: the document from plan and answers, and its renderings."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_status
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_status as documentation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet import page
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.document import fleet_document
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.metrics import fleet_metrics
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.page import _size, _time, fleet_page
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.text import fleet_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.topology_map import topology_map
from yaml import safe_load

from tests.unit.plugins.fleet_samples import answer, plan_of

PLAN = plan_of(3)


def document(**changed):
    """The report of a hub and three spokes; ``changed`` replaces what some of them answer."""
    answers = {name: answer(PLAN, name) for name in PLAN.sites}
    return fleet_document(PLAN, {**answers, **changed}, "2026-11-23 12:00:00 UTC")


def state_of(found, spoke="spoke02"):
    return next(tunnel["state"] for tunnel in found["tunnels"] if spoke in tunnel["sites"])


def test_all_is_up():
    found = document()
    assert found["summary"] == {
        "sites": 4,
        "answering": 4,
        "tunnels": 3,
        "down": 0,
        "partly": 0,
        "connecting": 0,
        "unknown": 0,
        "up": 3,
    }
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("hub", "spoke", "state"),
    [
        ({"down": ["spoke02"]}, {"down": ["hub"]}, "down"),
        ({"down": ["spoke02"], "state": "connecting"}, {"down": ["hub"]}, "connecting"),
        ({"down": ["spoke02"]}, {}, "partly"),
        ({"down": ["spoke02"]}, None, "down"),
        ({}, None, "up"),
    ],
)
def test_a_tunnels_state_comes_from_the_ends_that_answer(hub, spoke, state):
    said = {} if spoke is None else answer(PLAN, "spoke02", **spoke)
    found = document(hub=answer(PLAN, "hub", **hub), spoke02=said)
    assert state_of(found) == state and state_of(found, "spoke01") == "up"


def test_where_no_end_answers_nothing_is_known():
    assert state_of(document(hub={}, spoke02={"unreachable": True, "msg": "no route"})) == "unknown"


def test_what_is_planned_and_not_deployed_is_down():
    bare = {"daemon": {"answers": True, "error": ""}, "tunnels": [], "ike_sas": [], "sas": []}
    found = document(hub=bare, spoke02=bare)
    assert state_of(found) == "down" and "spoke02: not deployed" in fleet_text(found)


def test_a_silent_site_says_why():
    found = document(spoke01={"unreachable": True, "msg": "Connection timed out"}, spoke02={"daemon": {"error": "x"}})
    silent = {site["name"]: site["reason"] for site in found["sites"] if not site["answers"]}
    assert silent == {"spoke01": "Connection timed out", "spoke02": "x"}


def test_traffic_is_that_of_the_youngest_sas():
    end = next(end for end in document()["tunnels"][0]["ends"] if end["site"] == "spoke01")
    assert [(pair["child"]["bytes_in"], pair["child"]["bytes_out"]) for pair in end["networks"]] == [
        (1_234_567, 42)
    ] * 2


def test_the_text_shows_what_needs_attention_first():
    found = document(hub=answer(PLAN, "hub", down=["spoke03"]), spoke03={"msg": "no route"})
    assert fleet_text(found) == (
        "3 of 4 sites answer; tunnels: 1 down, 2 up\n"
        "\n"
        "spoke03: no answer: no route\n"
        "\n"
        "down        hub -- spoke03  hub: no answer from the peer\n"
        "up          hub -- spoke01  aes256_cbc hmac_sha2_256 modp3072\n"
        "up          hub -- spoke02  aes256_cbc hmac_sha2_256 modp3072\n"
    )


SAMPLE = re.compile(r'ipsec_fleet_[a-z_]+\{[a-z]+="(?:[^"\\]|\\.)*"(?:,[a-z]+="(?:[^"\\]|\\.)*")*\} \d+')


def test_metrics_have_a_sample_for_what_is_down_too():
    text = fleet_metrics(document(hub=answer(PLAN, "hub", down=["spoke03"]), spoke03={}))
    lines = text.splitlines()
    assert 'ipsec_fleet_tunnel_up{first="hub",second="spoke03",profile="ikev1-aes"} 0' in lines
    assert 'ipsec_fleet_site_answers{site="spoke03"} 0' in lines
    assert 'ipsec_fleet_tunnels{state="down"} 1' in lines
    assert 'ipsec_fleet_tunnel_received_bytes{site="hub",peer="spoke01"} 2469134' in lines
    assert all(SAMPLE.fullmatch(line) or line.startswith("# ") for line in lines)


def elements(svg, kind):
    return list(ElementTree.fromstring(svg).iter(kind))


@pytest.mark.parametrize("spokes", [1, 3, 40])
def test_every_site_and_tunnel_is_drawn_inside_the_picture(spokes):
    plan = plan_of(spokes)
    svg = topology_map(fleet_document(plan, {}, ""))
    left, top, width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split())
    lines = elements(svg, "line")
    assert len(lines) == spokes and len(elements(svg, "circle")) == spokes + 1
    for line in lines:
        assert left < float(line.get("x1")) < left + width and top < float(line.get("y1")) < top + height


def test_no_two_sites_lie_on_each_other():
    for plan in (plan_of(2), plan_of(40), plan_of(12, "mesh"), plan_of(9, {"type": "hub", "hubs": ["hub", "spoke01"]})):
        svg = topology_map(fleet_document(plan, {}, ""))
        places = [group.get("transform") for group in elements(svg, "g")]
        assert len(set(places)) == len(places) == len(plan.sites)


def test_a_hub_stands_in_the_middle():
    svg = topology_map(fleet_document(plan_of(8), {}, ""))
    (hub,) = [group for group in elements(svg, "g") if group.find("text").text == "hub"]
    assert hub.get("transform") == "translate(0.0 0.0)"


class Page(HTMLParser):
    """Collects tags, ids and references of a page, and checks that its tags are closed in order."""

    OPEN = ("meta", "th", "line", "circle")

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.ids, self.references = [], [], set(), set()
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.ids.add(found.get("id"))
        self.references |= {found[name] for name in ("href", "src") if name in found}
        if tag not in self.OPEN:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere():
    text = fleet_page(document(hub=answer(PLAN, "hub", down=["spoke03"])))
    page = Page(text)
    assert page.references and {name.lstrip("#") for name in page.references} <= page.ids
    assert "script" not in page.tags and "link" not in page.tags and "url(" not in text and "http" not in text


def test_what_is_not_up_stands_open_on_the_page():
    text = fleet_page(document(hub=answer(PLAN, "hub", down=["spoke03"]), spoke03={}))
    assert text.count("<details open>") == 1 and text.count("<details>") == 2
    assert text.index("<details open>") < text.index("<details>")


def test_words_of_others_are_escaped():
    evil = '<script>alert("x")</script>'
    found = document(hub=answer(PLAN, "hub", down=["spoke03"], reason=evil), spoke01={"msg": evil})
    assert "<script" not in fleet_page(found) and "&lt;script&gt;" in fleet_page(found)
    Page(fleet_page(found))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (999_700, "1000 kB"), (10**13, "10 TB")],
)
def test_sizes(value, text):
    assert _size(value) == text and _size(None) == "?"


@pytest.mark.parametrize(("value", "text"), [(0, "0 s"), (61, "1 min 1 s"), (90061, "1 d 1 h")])
def test_times(value, text):
    assert _time(value) == text


def acting(monkeypatch, check_mode=False, **arguments):
    class Action(ipsec_status.ActionModule):
        def __init__(self):
            self._task = SimpleNamespace(check_mode=check_mode)

        def validate_argument_spec(self, argument_spec):
            return None, {name: arguments.get(name, option["default"]) for name, option in argument_spec.items()}

    sites = {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]},
    }
    monkeypatch.setattr(ipsec_status.ActionBase, "run", lambda *_arguments: {})
    return Action().run(task_vars={"groups": {"ipsec_sites": list(sites)}, "hostvars": sites})


def test_the_report_is_written_where_it_was_asked_for(monkeypatch, tmp_path):
    result = acting(monkeypatch, directory=str(tmp_path / "status"))
    assert sorted(path.name for path in (tmp_path / "status").iterdir()) == [
        "status.html",
        "status.json",
        "status.prom",
    ]
    assert json.loads((tmp_path / "status/status.json").read_text()) == result["status"]
    assert result["text"][0] == "0 of 2 sites answer; tunnels: 1 unknown"


def test_check_mode_writes_nothing(monkeypatch, tmp_path):
    assert acting(monkeypatch, check_mode=True, directory=str(tmp_path / "status"))["files"]
    assert not (tmp_path / "status").exists()


def test_it_takes_what_is_documented():
    options = safe_load(documentation.DOCUMENTATION)["options"]
    assert {name: option["default"] for name, option in options.items()} == {
        name: spec["default"] for name, spec in ipsec_status.ARGUMENT_SPEC.items()
    }


def test_every_colour_of_the_page_can_be_read():
    """At least 4.5 to 1 against both of its grounds (WCAG 2.1, 1.4.3), in light and in dark."""
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in page._STYLE.split(":root")[1:]]
    assert len(schemes) == 2
    for colours in schemes:
        for name in ("ink", "soft", "up", "partly", "connecting", "down", "unknown"):
            for ground in ("paper", "panel"):
                assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def _contrast(one, other):
    """By WCAG 2.1's definition of contrast ratio."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [value / 255 for value in bytes.fromhex(digits)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
