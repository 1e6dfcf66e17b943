# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of rotate_psk.yml on the controller: which pairs may take which step now, and what the others wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .inventory import InventoryError, Problem, Site
from .keys import pair_of
from .plan import Plan, Tunnel, TunnelEnd
from .rotation import RETIRING, STAGED, SWITCHED, Progress, Rotations
from .topology import Pair

_UNPROVEN = "no IKE SA was authenticated with the new key yet: both keys stay valid"


@dataclass(frozen=True)
class Run:
    """What one run of the playbook goes by. ``hosts`` are its hosts in all batches, ``wanted`` the pairs asked for.

    ``given`` and ``brought`` are the operator's keys, the old and the new, by pair. ``handed_over``: the administrators
    of sites that aren't managed have entered the new keys.
    """

    plan: Plan
    rotations: Rotations
    hosts: frozenset[str]
    wanted: frozenset[Pair] = frozenset()
    given: Mapping[Pair, bytes] = field(default_factory=dict, repr=False)
    brought: Mapping[Pair, bytes] = field(default_factory=dict, repr=False)
    handed_over: bool = False

    def under_way(self) -> list[tuple[Tunnel, Progress]]:
        """The pairs that are asked for and whose rotation isn't over."""
        found = [(tunnel, self.rotations.progress(*_sites(tunnel))) for tunnel in self.chosen()]
        return [(tunnel, progress) for tunnel, progress in found if progress is not None]

    def chosen(self) -> list[Tunnel]:
        return [tunnel for tunnel in self.plan.tunnels if not self.wanted or _pair(tunnel) in self.wanted]


@dataclass
class Report:
    """``done`` took the step. ``waiting`` and ``skipped`` have a reason for each pair that didn't."""

    done: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)  # whose gateways are to be brought to the next phase

    def data(self) -> dict[str, Any]:
        return {"pairs": self.done, "waiting": self.waiting, "skipped": self.skipped, "sites": sorted(set(self.sites))}


def read_wanted(labels: Sequence[Any], plan: Plan) -> frozenset[Pair]:
    """The pairs of a list of ``SITE--SITE``, or ``SITE`` for all tunnels of a site. Raises InventoryError."""
    known = {_pair(tunnel) for tunnel in plan.tunnels}
    wanted: set[Pair] = set()
    for label in map(str, labels):
        names = tuple(sorted(label.split("--")))
        found = {pair for pair in known if pair == names or (len(names) == 1 and names[0] in pair)}
        if not found:
            text = "{!r} is neither a site with tunnels nor SITE--SITE of two sites that are joined"
            raise InventoryError((Problem("all sites", "ipsec_rotate_pairs", text.format(label)),))
        wanted |= found
    return frozenset(wanted)


def begin(run: Run, dry: bool) -> Report:
    """Begin the rotation of the pairs that are asked for; where some are under way, only those are gone on with."""
    report = Report()
    close(run, dry)
    under_way = run.under_way()
    for tunnel in [] if under_way else run.chosen():
        reason = _obstacle(run, tunnel)
        if reason:
            report.skipped[_label(tunnel)] = reason
            continue
        report.done.append(_label(tunnel))
        if not dry:
            pair = _pair(tunnel)
            run.rotations.begin(*_sites(tunnel), run.brought.get(pair), run.given.get(pair))
    if run.wanted and report.skipped:
        problems = [Problem(label, "ipsec_rotate_pairs", text) for label, text in report.skipped.items()]
        raise InventoryError(tuple(problems))
    report.sites = [site for tunnel, _progress in run.under_way() for site in _managed(tunnel)]
    return report


def switch(run: Run, dry: bool) -> Report:
    """Let the gateways of each pair prove the new key, once both accept it."""
    report = Report()
    for tunnel, progress in run.under_way():
        if progress.phase == STAGED and _all_hold(report, run, tunnel, progress):
            _take(report, tunnel, run.rotations.switch, dry)
    report.sites = [site for tunnel, _progress in run.under_way() for site in _managed(tunnel)]
    return report


def unproven(run: Run, site: str, anybody: bool) -> list[TunnelEnd]:
    """The tunnels that this site is to authenticate anew: as the end that begins, or as anybody who can."""
    waiting = {
        _pair(tunnel)
        for tunnel, progress in run.under_way()
        if progress.phase == SWITCHED and not progress.proven and set(_managed(tunnel)) <= progress.holders
    }
    ends = [end for end in run.plan.ends[site] if pair_of(end) in waiting]
    return [end for end in ends if anybody or end.initiates]


def retire(run: Run, dry: bool) -> Report:
    """Let the old key go where the new one has proven itself, or where neither daemon can be asked to prove it."""
    report = Report()
    for tunnel, progress in run.under_way():
        if progress.phase != SWITCHED or not _all_hold(report, run, tunnel, progress):
            continue
        if progress.proven or set(_managed(tunnel)) <= progress.unaskable:
            _take(report, tunnel, run.rotations.retire, dry)
        else:
            report.waiting[_label(tunnel)] = _UNPROVEN
    report.sites = [site for tunnel, found in run.under_way() if found.phase == RETIRING for site in _managed(tunnel)]
    return report


def close(run: Run, dry: bool) -> Report:
    """The rotations that are over: no gateway has the old key any more."""
    report = Report()
    for tunnel, progress in run.under_way():
        if not _all_hold(report, run, tunnel, progress):
            continue
        if progress.phase == RETIRING:
            _take(report, tunnel, run.rotations.close, dry)
        else:
            report.waiting[_label(tunnel)] = _UNPROVEN if progress.phase == SWITCHED else "both ends accept the new key"
    return report


def _take(report: Report, tunnel: Tunnel, step: Callable[[Site, Site], None], dry: bool) -> None:
    report.done.append(_label(tunnel))
    if not dry:
        step(*_sites(tunnel))


def _all_hold(report: Report, run: Run, tunnel: Tunnel, progress: Progress) -> bool:
    """Whether every gateway of the pair has the files of this phase; else the report says whose are missing."""
    missing = [name for name in _managed(tunnel) if name not in progress.holders]
    if missing:
        report.waiting[_label(tunnel)] = "{} must be deployed first".format(" and ".join(missing))
    elif progress.phase == STAGED and len(_managed(tunnel)) < 2 and not run.handed_over:
        missing = [site.name for site in _sites(tunnel) if not site.managed]
        report.waiting[_label(tunnel)] = (
            "hand the new key over to {} (handover.yml), then run this again with ipsec_rotate_handed_over".format(
                missing[0]
            )
        )
    return _label(tunnel) not in report.waiting


def _obstacle(run: Run, tunnel: Tunnel) -> str:
    """Why a pair's rotation can't begin now, "" where it can."""
    pair = _pair(tunnel)
    unmanaged = [site.name for site in _sites(tunnel) if not site.managed]
    if unmanaged and pair not in run.wanted:
        return "{} isn't managed: name the pair in ipsec_rotate_pairs to rotate its key".format(unmanaged[0])
    absent = [name for name in _managed(tunnel) if name not in run.hosts]
    if absent:
        return "{} isn't in this run".format(" and ".join(absent))
    if pair in run.given and pair not in run.brought:
        return "the key is yours (ipsec_psks): bring the new one in ipsec_psks_next"
    old = run.given.get(pair) or run.rotations.store.read(*_sites(tunnel))
    if old is None:
        return "no key was deployed yet: site.yml does that"
    return "the new key is the old one" if run.brought.get(pair) == old else ""


def _label(tunnel: Tunnel) -> str:
    return "--".join(_pair(tunnel))


def _pair(tunnel: Tunnel) -> Pair:
    return tunnel.first.name, tunnel.second.name


def _sites(tunnel: Tunnel) -> tuple[Site, Site]:
    return tunnel.first, tunnel.second


def _managed(tunnel: Tunnel) -> list[str]:
    return [site.name for site in _sites(tunnel) if site.managed]
