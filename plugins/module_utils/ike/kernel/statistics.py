# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux's counters of packets that IPsec refused: ``/proc/net/xfrm_stat``, each with what it means to an operator."""

from __future__ import annotations

import errno
from pathlib import Path

from .base import KernelError

XFRM_STAT = "/proc/net/xfrm_stat"

# Documentation/networking/xfrm_proc.rst
_MEANINGS = {
    "XfrmInError": "inbound: an error that no other counter covers",
    "XfrmInBufferError": "inbound: no memory for a packet",
    "XfrmInHdrError": "inbound: a packet whose ESP or AH header is cut short or wrong",
    "XfrmInNoStates": "inbound: no SA with the packet's SPI, address and protocol; the peer uses one that is gone here",
    "XfrmInStateProtoError": "inbound: the transform failed; mostly a wrong integrity check: keys or algorithms differ",
    "XfrmInStateModeError": "inbound: the SA's mode (tunnel, transport) failed on the packet",
    "XfrmInStateSeqError": "inbound: replayed, or older than the replay window",
    "XfrmInStateExpired": "inbound: the SA has expired",
    "XfrmInStateMismatch": "inbound: the SA's selector or encapsulation doesn't fit the packet (UDP against plain ESP)",
    "XfrmInStateInvalid": "inbound: the SA isn't usable (still larval, or being deleted)",
    "XfrmInTmplMismatch": "inbound: came by another SA than the policy asks for, or in clear where IPsec is required",
    "XfrmInNoPols": "inbound: came by an SA, but no policy allows it",
    "XfrmInPolBlock": "inbound: a policy discards it",
    "XfrmInPolError": "inbound: the policy couldn't be looked up",
    "XfrmAcquireError": "a packet waits for an SA that no daemon has been asked for, or that it couldn't be asked for",
    "XfrmFwdHdrError": "forwarding: a packet whose header is wrong",
    "XfrmOutError": "outbound: an error that no other counter covers",
    "XfrmOutBundleGenError": "outbound: the chain of SAs couldn't be made",
    "XfrmOutBundleCheckError": "outbound: the chain of SAs is no longer valid",
    "XfrmOutNoStates": "outbound: no SA for the policy: the negotiation hasn't succeeded (yet)",
    "XfrmOutStateProtoError": "outbound: the transform failed",
    "XfrmOutStateModeError": "outbound: the SA's mode failed on the packet; mostly it is bigger than the path's MTU",
    "XfrmOutStateSeqError": "outbound: the SA's sequence numbers are used up",
    "XfrmOutStateExpired": "outbound: the SA has expired",
    "XfrmOutPolBlock": "outbound: a policy discards it",
    "XfrmOutPolDead": "outbound: the policy is being deleted",
    "XfrmOutPolError": "outbound: the policy couldn't be looked up",
    "XfrmOutStateInvalid": "outbound: the SA isn't usable (still larval, or being deleted)",
    "XfrmOutStateDirError": "outbound: the SA is marked as an inbound one",
    "XfrmInStateDirError": "inbound: the SA is marked as an outbound one",
    "XfrmInIptfsError": "inbound: an IP-TFS payload (RFC 9347) is wrong",
    "XfrmOutNoQueueSpace": "outbound: the queue of IP-TFS is full",
}


def read_statistics(path: str = XFRM_STAT) -> dict[str, int]:
    """Counter -> packets since boot, in this network namespace. KernelError where the kernel doesn't count."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise KernelError("read " + path, error.errno or errno.EIO) from error
    return {name: int(count) for name, count in (line.split() for line in text.splitlines())}


def meaning(counter: str) -> str:
    """What an increase says, in operators' words; "" for a counter of a newer kernel."""
    return _MEANINGS.get(counter, "")
