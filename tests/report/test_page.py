# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's page in a real browser: on the screen, in the dark, on a telephone and on paper.

The screenshots are for people's eyes, and kept in build/report. What has to be on paper is read back from the PDF.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.document import fleet_document
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.page import fleet_page

from tests.unit.plugins.fleet_samples import answer, plan_of, spi

REPORT = Path("build/report").absolute()
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
UP, DOWN = (0x1A, 0x7F, 0x4B), (0xC0, 0x26, 0x2D)  # the page's colours
BROWSER_SECONDS = 300


@pytest.fixture(params=(3, 20, 50), ids="{} spokes".format)
def fleet(request):
    """A plan and its page, as a file: the first spoke refuses the key, the last one doesn't answer, the rest is up."""
    plan = plan_of(request.param)
    first, last = "spoke01", "spoke{:02}".format(request.param)
    answers = {name: answer(plan, name) for name in plan.sites}
    answers["hub"] = answer(plan, "hub", down=[first, last])
    answers[first] = answer(plan, first, down=["hub"], reason="the peer refuses our key: AUTHENTICATION_FAILED")
    answers[last] = {"msg": "Connection timed out"}
    REPORT.mkdir(parents=True, exist_ok=True)
    page = REPORT / "{}.html".format(request.param)
    page.write_text(fleet_page(fleet_document(plan, answers, "2026-11-23 12:00:00 UTC")))
    return plan, page


def browse(page: Path, profile: Path, *options: str) -> None:
    command = [*CHROMIUM, "--user-data-dir={}".format(profile), *options, page.as_uri()]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=BROWSER_SECONDS)


def test_screenshots(fleet, tmp_path):
    _plan, page = fleet
    views = {
        "screen": ["--window-size=1200,1500"],
        "dark": ["--window-size=1200,1500", "--blink-settings=preferredColorScheme=0"],
        "telephone": ["--window-size=500,1000"],
    }
    for view, options in views.items():
        screenshot = page.with_name("{}-{}.png".format(page.stem, view))
        screenshot.unlink(missing_ok=True)
        browse(page, tmp_path, "--screenshot={}".format(screenshot), *options)
        assert screenshot.read_bytes().startswith(b"\x89PNG")


def test_paper(fleet, tmp_path):
    """Drawing, causes, and the SAs that are folded away on the screen."""
    plan, page = fleet
    pdf = page.with_suffix(".pdf")
    browse(page, tmp_path, "--no-pdf-header-footer", "--print-to-pdf={}".format(pdf))
    found = subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout
    text = " ".join(found.split())  # cells may be broken into lines
    assert "AUTHENTICATION_FAILED" in text
    assert "Connection timed out" in text
    for name in plan.sites:
        assert name in text
    hub, second = plan.sites["hub"], plan.sites["spoke02"]
    assert spi(second, hub, 1) in text
    printed = page.with_name(page.stem + "-paper")
    subprocess.run(["pdftoppm", "-r", "80", "-l", "1", "-png", "-singlefile", pdf, printed], check=True)
    assert {UP, DOWN} <= first_page_colours(pdf)


def first_page_colours(pdf: Path) -> set[tuple[int, ...]]:
    """The colours of the first page's dots, from the portable pixmap (P6) that poppler makes."""
    image = subprocess.run(["pdftoppm", "-r", "150", "-l", "1", pdf], check=True, capture_output=True).stdout
    _magic, _size, _depth, pixels = image.split(b"\n", 3)
    return {tuple(pixels[place : place + 3]) for place in range(0, len(pixels), 3)}
