# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two kinds of failure: the peer's, and ours. Their texts go to logs and ``ctl up``: operator's words, no secrets."""

from __future__ import annotations


class PeerError(Exception):
    """The peer sent what we can't accept. ``notify`` is the message type to answer with, and ``data`` its content.

    A type of 0 means silence.
    """

    def __init__(self, reason: str, notify: int = 0, data: bytes = b"") -> None:
        super().__init__(reason)
        self.notify = notify
        self.data = data


class LocalError(Exception):
    """Something of ours doesn't work: a key file, the kernel, the configuration."""
