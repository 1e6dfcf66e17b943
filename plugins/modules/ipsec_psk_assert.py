#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assert that key files are as the daemon needs them, and hold the same key as the other end's."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_psk_assert
short_description: Assert what pre-shared key files hold, without showing it
version_added: 0.1.0
description:
  - Checks that each key file is a regular file of root's, of mode 0600, not empty, and that its key neither begins nor
    ends with white space. The daemons take every byte of the file as the key, a newline too.
  - Returns a fingerprint of each key's exact bytes, made with O(salt). With the same salt, both ends of a tunnel have
    the same fingerprint exactly when they have the same key. Where one is given, it's compared.
  - During a rotation an end accepts a second key, in C(PEER.psk.next) or C(PEER.psk.previous) beside the one that it
    proves. The ends agree where each accepts what the other proves.
  - Never returns a key or its length.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
attributes:
  platform:
    support: full
    platforms: posix
options:
  salt:
    description: Goes into the fingerprints. Give both ends the same, and a new one each time.
    type: str
    required: true
  configuration:
    description:
      - The configuration that names the key files, where O(files) doesn't; by default the one that the roles write,
        C(/etc/racoon2/racoon2.conf), on FreeBSD C(/usr/local/etc/racoon2/racoon2.conf).
    type: path
  files:
    description: The key files to look at; all that O(configuration) names if left out.
    type: list
    elements: dict
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      fingerprint:
        description: What the other end returned for the key that it proves. It has to be one that this end accepts.
        type: str
      accepted:
        description: What the other end returned for the keys that it accepts. One has to be what this end proves.
        type: list
        elements: str
"""

EXAMPLES = r"""
- name: Assert that this site's key files are sound
  tanuki.ipsec.ipsec_psk_assert:
    salt: "{{ ipsec_salt }}"
  register: ipsec_keys
  become: true

- name: Assert that each end accepts the key that the other one proves
  tanuki.ipsec.ipsec_psk_assert:
    salt: "{{ ipsec_salt }}"
    files:
      - path: /etc/racoon2/psk/osaka.psk
        fingerprint: "{{ hostvars['osaka'].ipsec_keys.files[0].fingerprint }}"
        accepted: "{{ hostvars['osaka'].ipsec_keys.files[0].accepted }}"
  become: true
"""

RETURN = r"""
files:
  description: What was found of each key.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The remote that the key is for, or the file's path.
      type: str
    path:
      description: The file.
      type: str
    fingerprint:
      description: Of the bytes of the key that is proven; empty where it can't be read.
      type: str
    accepted:
      description: Of each key that the other end may prove.
      type: list
      elements: str
    problems:
      description: What is wrong.
      type: list
      elements: str
"""

from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import (
    CONFIGURATION_SPEC,
    configuration_path,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.psk import (
    compare_keys,
    inspect_key,
    key_paths,
)

KEY_SPEC = {
    "path": {"type": "path", "required": True, "no_log": False},
    "fingerprint": {"type": "str"},
    "accepted": {"type": "list", "elements": "str"},
}
ARGUMENT_SPEC = {
    **CONFIGURATION_SPEC,
    "salt": {"type": "str", "required": True, "no_log": False},
    "files": {"type": "list", "elements": "dict", "options": KEY_SPEC, "no_log": False},
}


def wanted(module: AnsibleModule, path: str) -> list:
    """(name, path, what the other end told) of each key. Raises OSError where the configuration can't be read."""
    given = module.params["files"]
    if given is not None:
        return [(key["path"], key["path"], key) for key in given]
    configuration = meaning_of(Path(path).read_text(encoding="utf-8"))
    return [(name, path, {}) for name, path in key_paths(configuration).items()]


def inspect(name: str, path: str, other: Mapping, salt: str) -> dict:
    """What there is of a key, judged by the other end's fingerprint and accepted where those are given."""
    found = {"name": name, **inspect_key(path, salt)}
    accepted = other.get("accepted")
    theirs = {
        "fingerprint": other.get("fingerprint"),
        "accepted": [found["fingerprint"]] if accepted is None else accepted,
    }
    if compare_keys(found, theirs) is False:
        found["problems"].append("{}: not the other end's key: fingerprints differ".format(path))
    return found


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    path = configuration_path(module, Look(run))
    try:
        keys = wanted(module, path)
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg="{}: {}".format(path, error), files=[])
    if not keys:
        module.fail_json(msg="{} names no key file".format(path), files=[])
    found = [inspect(*key, salt=module.params["salt"]) for key in keys]
    problems = [problem for key in found for problem in key["problems"]]
    if problems:
        module.fail_json(msg="\n".join(problems), files=found)
    module.exit_json(changed=False, files=found)


if __name__ == "__main__":
    main()
