"""Run `ansible-test sanity` on a copy of the collection below build/.

ansible-test wants to stand in a folder `ansible_collections/NAMESPACE/NAME`, and downloads a script to bootstrap pip
with. Where that download can't be had, a stand-in takes pip from ensurepip and the package index that pip is set up
for. Arguments are passed on: `tests/sanity/run.py --test validate-modules`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPY = ROOT / "build" / "sanity" / "ansible_collections" / "tanuki" / "ipsec"
CACHE = Path.home() / ".ansible" / "test" / "cache"

CONTENT = ("plugins", "roles", "playbooks", "meta", "changelogs", "tests/sanity", "galaxy.yml", "README.md")
SKIPPED = ()

STAND_IN = """\
import subprocess, sys
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", *wanted])
"""


def copy_collection() -> None:
    """A fresh copy of what the collection's users get, with a repository of its own: build/ is ignored by ours."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in CONTENT:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target)
    subprocess.check_call(["git", "init", "--quiet", str(COPY)])
    subprocess.check_call(["git", "-C", str(COPY), "add", "--all"])


def provide_pip() -> None:
    """Write the stand-in under the name of the script that this ansible-test would download, unless it's there."""
    requirements = Path(find_spec("ansible_test").origin).parent / "_internal" / "python_requirements.py"
    version = re.search(r"\bpip='([\d.]+)'", requirements.read_text()).group(1)
    script = CACHE / "get_pip_{}.py".format(version.replace(".", "_"))
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(STAND_IN)


def search_path() -> str:
    """PATH with this interpreter's folder in front, without folders that hold interpreters which don't run.

    Version managers leave such; ansible-test would take them for installed ones.
    """
    folders = [Path(name) for name in os.environ["PATH"].split(os.pathsep)]
    sound = [folder for folder in folders if all(runs(path) for path in folder.glob("python3.[0-9]*[0-9]"))]
    return os.pathsep.join(map(str, [Path(sys.executable).parent, *sound]))


def runs(interpreter: Path) -> bool:
    return subprocess.run([str(interpreter), "-c", ""], check=False, capture_output=True).returncode == 0


def main() -> int:
    copy_collection()
    provide_pip()
    skipped = [word for test in SKIPPED for word in ("--skip-test", test)]
    command = [str(Path(sys.executable).parent / "ansible-test"), "sanity", "--local", "--color", "no"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path()}
    return subprocess.call([*command, *skipped, *sys.argv[1:]], cwd=COPY, env=environment)


if __name__ == "__main__":
    sys.exit(main())
