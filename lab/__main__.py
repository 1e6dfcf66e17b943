"""The lab's command line: python3 -m lab [--directory DIR] image | collection | up | down | status | ssh HOST …"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from lab.deployment import Deployment
from lab.freebsd.image import open_image
from lab.image.build import build_image, find_image
from lab.lab import DEMO_DIRECTORY, IMAGES, Lab


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m lab", description="Virtual machines to try and test the tunnels.")
    parser.add_argument("--directory", type=Path, default=DEMO_DIRECTORY, help="where this lab's state is kept")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("image", help="build the machines' image if it isn't there").set_defaults(run=image)
    commands.add_parser("collection", help="build the collection and install it below build/").set_defaults(
        run=collection
    )
    start = commands.add_parser("up", help="start the machines and wait for them")
    start.add_argument(
        "--freebsd", action="append", default=[], metavar="SITE", help="boot this site from the image FREEBSD_IMAGE"
    )
    start.set_defaults(run=up)
    commands.add_parser("down", help="stop everything").set_defaults(run=down)
    commands.add_parser("status", help="what runs, and the internet's counters").set_defaults(run=status)
    login = commands.add_parser("ssh", help="log in to a gateway (tokyo) or a LAN client (tokyo-client)")
    login.add_argument("host")
    login.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    login.set_defaults(run=ssh)
    arguments = parser.parse_args()
    arguments.run(Lab(arguments.directory.absolute()), arguments)


def image(lab: Lab, arguments: argparse.Namespace) -> None:
    found = find_image(IMAGES) or build_image(IMAGES)
    print(found.directory)


def collection(lab: Lab, arguments: argparse.Namespace) -> None:
    Deployment(lab).install_collection()


def up(lab: Lab, arguments: argparse.Namespace) -> None:
    freebsd = {site: open_image(Path(os.environ["FREEBSD_IMAGE"]), IMAGES) for site in arguments.freebsd}
    booted = replace(lab, freebsd=freebsd).up(find_image(IMAGES) or build_image(IMAGES))
    for name, is_new in booted.items():
        print(f"{name}: {'booted' if is_new else 'ran already'}")
    print(f"log in: ssh -F {lab.ssh_config_path} {lab.sites[0].name}")


def down(lab: Lab, arguments: argparse.Namespace) -> None:
    for name in lab.down():
        print(f"{name}: stopped")


def status(lab: Lab, arguments: argparse.Namespace) -> None:
    for machine in lab.machines:
        print(f"{machine.site.name}: {f'running, pid {machine.pid}' if machine.pid else 'down'}")
    if not lab.internet.pid:
        print("internet: down")
        return
    state = lab.internet.status()
    print("internet: running, " + ", ".join(f"{name} {count}" for name, count in sorted(state["counters"].items())))
    for rule in state["rules"]:
        print(f"  rule {rule}")


def ssh(lab: Lab, arguments: argparse.Namespace) -> None:
    command = ["ssh", "-F", str(lab.ssh_config_path), arguments.host, *arguments.words]
    os.execvp("ssh", command)


if __name__ == "__main__":
    main()
