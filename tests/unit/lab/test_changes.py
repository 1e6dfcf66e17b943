"""The record of a check and of the deployment after it, kept by molecule's callback in real runs of Ansible."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab.changes import STATE, read_run
from lab.lab import ROOT

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: {state}
      ansible.builtin.command: cat {root}/told {root}/untold {root}/sneaky
      check_mode: false
      changed_when: false
    - name: Change what was told
      ansible.builtin.copy: {{content: "new\\n", dest: {root}/told}}
    - name: Change what wasn't
      ansible.builtin.copy: {{content: "new\\n", dest: {root}/untold}}
      when: not ansible_check_mode
    - name: Change something in check mode already
      ansible.builtin.copy: {{content: "new\\n", dest: {root}/sneaky}}
      check_mode: false
"""


def play(root, *options):
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / ".config/molecule/callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "changes",
        "ANSIBLE_HOME": str(root / "ansible"),
        "MOLECULE_CHANGES": str(root / "changes"),
        "LC_ALL": "C.UTF-8",
    }
    inventory = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = ["ansible-playbook", *inventory, "--diff", str(root / "converge.yml"), *options]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def test_a_check_beside_the_deployment_after_it(tmp_path):
    for name in ("told", "untold", "sneaky"):
        (tmp_path / name).write_text("old\n")
    (tmp_path / "converge.yml").write_text(PLAYBOOK.format(state=STATE, root=tmp_path))
    directory = tmp_path / "changes"

    play(tmp_path, "--check")
    with pytest.raises(FileNotFoundError):
        read_run("converge", directory)
    play(tmp_path)

    announced, done = (read_run(name, directory) for name in ("check", "converge"))
    tasks = [{change["task"] for change in run.changes} for run in (announced, done)]
    assert tasks == [
        {"Change what was told", "Change something in check mode already"},
        {"Change what was told", "Change what wasn't"},
    ]
    diffs = [next(one["diff"] for one in run.changes if one["task"].endswith("was told")) for run in (announced, done)]
    assert diffs[0] == diffs[1] and [entry["after"] for entry in diffs[0]] == ["new\n"]
    assert [run.states["localhost"] for run in (announced, done)] == ["old\nold\nold", "old\nold\nnew"]
