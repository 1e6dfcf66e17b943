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
    description: The configuration that names the key files, where O(files) doesn't.
    type: path
    default: /etc/racoon2/racoon2.conf
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
        description: What the other end returned for its key.
        type: str
"""

EXAMPLES = r"""
- name: Assert that this site's key files are sound
  tanuki.ipsec.ipsec_psk_assert:
    salt: "{{ ipsec_salt }}"
  register: ipsec_keys
  become: true

- name: Assert that both ends have the same key
  tanuki.ipsec.ipsec_psk_assert:
    salt: "{{ ipsec_salt }}"
    files:
      - path: /etc/racoon2/psk/osaka.psk
        fingerprint: "{{ hostvars['osaka'].ipsec_keys.files[0].fingerprint }}"
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
      description: Of the key's bytes; empty where it can't be read.
      type: str
    problems:
      description: What is wrong.
      type: list
      elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import CONFIGURATION_SPEC
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.psk import inspect_key, key_paths

KEY_SPEC = {"path": {"type": "path", "required": True, "no_log": False}, "fingerprint": {"type": "str"}}
ARGUMENT_SPEC = {
    **CONFIGURATION_SPEC,
    "salt": {"type": "str", "required": True, "no_log": False},
    "files": {"type": "list", "elements": "dict", "options": KEY_SPEC, "no_log": False},
}


def wanted(module: AnsibleModule) -> list:
    """(name, path, fingerprint or nothing) of each key. Raises OSError where the configuration can't be read."""
    given = module.params["files"]
    if given is not None:
        return [(key["path"], key["path"], key["fingerprint"]) for key in given]
    configuration = meaning_of(Path(module.params["configuration"]).read_text(encoding="utf-8"))
    return [(name, path, None) for name, path in key_paths(configuration).items()]


def inspect(name: str, path: str, other: str | None, salt: str) -> dict:
    found = {"name": name, **inspect_key(path, salt)}
    if other is not None and found["fingerprint"] and found["fingerprint"] != other:
        found["problems"].append("{}: not the other end's key: fingerprints differ".format(path))
    return found


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        keys = wanted(module)
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg="{}: {}".format(module.params["configuration"], error), files=[])
    if not keys:
        module.fail_json(msg="{} names no key file".format(module.params["configuration"]), files=[])
    found = [inspect(*key, salt=module.params["salt"]) for key in keys]
    problems = [problem for key in found for problem in key["problems"]]
    if problems:
        module.fail_json(msg="\n".join(problems), files=found)
    module.exit_json(changed=False, files=found)


if __name__ == "__main__":
    main()
