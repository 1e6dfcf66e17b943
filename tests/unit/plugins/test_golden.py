"""The configurations of a dozen inventories, in both dialects: as stored, loadable, sound, and of one mind.

``python3 -m tests.unit.plugins.golden`` writes them anew.
"""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.__main__ import main

from tests.unit.plugins.golden.generate import HERE, INVENTORIES, PATHS, file_of, generate, plan_of


def check(capsys, *arguments) -> str:
    """What `check` complains of; it has to end 0."""
    code = main(["check", "--no-files", *map(str, arguments)])
    output = capsys.readouterr()
    assert code == 0, output.err + output.out
    return output.err


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_the_generated_configurations_are_the_stored_ones(inventory):
    generated = generate(inventory)
    assert sorted(generated) == sorted((HERE / inventory).glob("*.conf"))
    for path, text in generated.items():
        assert text == path.read_text(), path.name


@pytest.mark.parametrize("dialect", sorted(PATHS))
@pytest.mark.parametrize("inventory", INVENTORIES)
def test_each_is_sound_in_its_dialect(inventory, dialect, capsys):
    for site in plan_of(inventory).sites:
        complaints = check(capsys, "-f", file_of(inventory, site, dialect), "--dialect", dialect)
        assert [line for line in complaints.splitlines() if not expected(line)] == []


def expected(line: str) -> bool:
    """What the profile of 2007 is known for, and an end behind NAT."""
    known = (" is weak (", "with OpenSSL 3 ", "my_id 210.22.22.22 is no address of this host (10.0.0.2)")
    return ": warning: " in line and any(text in line for text in known)


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_both_ends_of_each_tunnel_agree_whatever_their_dialects(inventory, capsys):
    for tunnel in plan_of(inventory).tunnels:
        for ours, theirs in itertools.product(PATHS, repeat=2):
            first, second = file_of(inventory, tunnel.first.name, ours), file_of(inventory, tunnel.second.name, theirs)
            check(capsys, "-f", first, "--pair", second)
