# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of racoon2.conf, stated once: which directive stands where, with which argument, to what effect.

The parser, the checks, the renderer, the defaults and the documentation all read this table. An argument's syntax
is written in a small notation: ``STRING`` a quoted or bare string, ``QUOTED`` a quoted one, ``NUMBER`` a decimal or
hexadecimal literal, other capitals a class of words (see WORD_CLASSES; ``WORD`` is the directive's own list), lower
case a keyword, ``[ ]`` what may be left out, ``|`` alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..crypto.algorithms import ENCRYPTION_KEYWORDS, GROUPS

RACOON2 = "racoon2"
TANUKI = "tanuki"
DIALECTS = (RACOON2, TANUKI)

# Contexts: where a directive may stand.
TOP = "top"
DEFAULT = "default"
IKEV1 = "ikev1"
IKEV2 = "ikev2"
KINK = "kink"

# What our daemon does with a directive.
ACTS = "acts"
NEEDLESS = "needless"  # read and not needed: there is no separate spmd, no kinkd
UNSUPPORTED = "unsupported"  # named in a warning


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words that upstream's lexer knows. None of them is a string unless quoted.
RESERVED = frozenset(
    _words(
        """
    3des_cbc 3idea_cbc B GB KB MB acceptable_kmp action addresspool aes128_cbc aes192_cbc aes256_cbc aes_cmac aes_ctr
    aes_xcbc agent aggressive ah ah_auth_alg application_bypass application_version ascii auto_ipsec base blowfish_cbc
    bypass byte bytes cast128_cbc child_down child_rekey child_up claim cookie_required correspondent day days debug
    default deflate des_cbc des_cbc_iv32 des_cbc_iv64 des_mac dhcp direction disable discard dns dns_query dpd dpd_delay
    dpd_maxfail dpd_retry dss dst ec2n155 ec2n185 email enable esp esp_auth_alg esp_enc_alg exact exchange_mode
    ext_sequence file fqdn gssapi_krb hmac_md5 hmac_sha1 hmac_sha2_256 hmac_sha2_384 hmac_sha2_512 hour hours idea_cbc
    ike ike_sa_down ike_sa_rekey ike_sa_up ikev1 ikev2 inbound include infinite initial_contact install interface
    interval_to_send ip ip4 ip4_dhcp ip4_dns ip6 ip6_dhcp ip6_dns ipaddr ipcomp ipcomp_alg ipsec ipsec_index ipsec_level
    ipsec_mode ipsec_sa_lifetime_byte ipsec_sa_lifetime_time ipsec_sa_nego_time_limit keyid kink kmp_auth_method
    kmp_dh_group kmp_enc_alg kmp_hash_alg kmp_prf_alg kmp_sa_grace_period kmp_sa_lifetime_byte kmp_sa_lifetime_time
    kmp_sa_nego_time_limit kpdk_md5 logfile logmode lzs main max_ip4_alloc max_ip6_alloc max_padlen max_retry_to_send
    md5 migration min mins minute minutes mip6_home_prefix mobile mobility_role modp1024 modp1536 modp2048 modp3072
    modp4096 modp6144 modp768 modp8192 my_gssapi_id my_id my_principal my_public_key my_sa_ipaddr nameserver
    nat_traversal need_pfs next_header_including no non_auth none nonce_size normal null_enc obey off on order oui
    outbound passive peers_id peers_ipaddr peers_kmp_port peers_principal peers_public_key peers_sa_ipaddr phase1_down
    phase1_rekey phase1_up phase2_down phase2_rekey phase2_up pkcs12 policy policy_index port pre_shared_key
    proposal_check provide psk random_pad_content random_padlen rc4_cbc rc5_cbc remote remote_index reqid request
    require require_config_payload resolver rijndael_cbc rsaenc rsarev rsasig sa sa_index sa_protocol script sec second
    seconds secs selector selector_check selector_index send_cert send_cert_req send_peers_id setval sha1 sha2_256
    sha2_384 sha2_512 spi spmd spmd_password src static_ipsec strict support_proxy tag tagged tiger times_per_send
    transport tunnel twofish_cbc unique unix upper_layer_protocol use use_coa verify_id verify_pubkey x509_subject
    x509pem yes
    """
    )
)

BOOLEANS = {"on": True, "enable": True, "yes": True, "off": False, "disable": False, "no": False}
TIME_UNITS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("hour", "hours"), 3600),
    **dict.fromkeys(("day", "days"), 86400),
}
BYTE_UNITS = {"B": 1, "byte": 1, "bytes": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}

# The events of hook scripts; the older names mean the same.
EVENT_SYNONYMS = {
    "phase1_up": "ike_sa_up",
    "phase1_down": "ike_sa_down",
    "phase1_rekey": "ike_sa_rekey",
    "phase2_up": "child_up",
    "phase2_down": "child_down",
    "phase2_rekey": "child_rekey",
}
EVENTS = (*EVENT_SYNONYMS, *EVENT_SYNONYMS.values(), "migration")

WORD_CLASSES = {
    "BOOLEAN": frozenset(BOOLEANS),
    "TIME_UNIT": frozenset(TIME_UNITS),
    "BYTE_UNIT": frozenset(BYTE_UNITS),
    "ID_TYPE": frozenset({"ipaddr", "fqdn", "email", "x509_subject", "keyid"}),
    "ID_FORM": frozenset({"file", "tag"}),
    "KEY_TYPE": frozenset({"x509pem", "pkcs12", "ascii"}),
    "EVENT": frozenset(EVENTS),
}

# Kind of argument -> its syntax.
ARGUMENTS = {
    "boolean": "BOOLEAN",
    "word": "WORD",
    "string": "STRING",
    "file": "STRING",
    "pattern": "QUOTED",
    "number": "NUMBER",
    "time": "infinite | NUMBER [TIME_UNIT]",
    "bytes": "infinite | NUMBER [BYTE_UNIT]",
    "address": "STRING",
    "endpoint": "unix STRING | STRING [port STRING]",
    "network": "STRING [port STRING]",
    "algorithm": "WORD [, [NUMBER] [, STRING]]",
    "group": "WORD | NUMBER",
    "identity": "ID_TYPE [ID_FORM] STRING",
    "key pair": "KEY_TYPE STRING STRING",
    "public key": "KEY_TYPE STRING [STRING]",
    "hook": "EVENT STRING",
    "protocol": "STRING [NUMBER [NUMBER]]",
    "range": "STRING - STRING",
    "variable": "STRING STRING",
}

ENCRYPTION_WORDS = _words(
    "3des_cbc aes128_cbc aes192_cbc aes256_cbc rijndael_cbc aes_ctr blowfish_cbc cast128_cbc idea_cbc rc5_cbc 3idea_cbc"
    " rc4_cbc twofish_cbc null_enc des_cbc des_cbc_iv64 des_cbc_iv32"
)
DIGEST_WORDS = _words(
    "md5 sha1 sha2_256 sha2_384 sha2_512 hmac_md5 hmac_sha1 hmac_sha2_256 hmac_sha2_384 hmac_sha2_512 aes_xcbc aes_cmac"
    " kpdk_md5 non_auth tiger des_mac"
)
GROUP_WORDS = _words("modp768 modp1024 ec2n155 ec2n185 modp1536 modp2048 modp3072 modp4096 modp6144 modp8192")
GROUP_NUMBERS = frozenset((1, 2, 3, 4, 5, 14, 15, 16, 17, 18))
REQUEST_WORDS = _words("ip4 ip6 ip ip4_dns ip6_dns dns ip4_dhcp ip6_dhcp dhcp application_version mip6_home_prefix")

# What dialect tanuki adds to the words of a kind of algorithm.
TANUKI_ENCRYPTION = tuple(word for word in ENCRYPTION_KEYWORDS if word not in ENCRYPTION_WORDS)
TANUKI_DIGESTS = ("hmac_sha2_256_96",)
TANUKI_GROUPS = tuple(word for word in GROUPS if word not in GROUP_WORDS)

# One directive for each additional key exchange, in the order in which they're done (RFC 9370).
ADDITIONAL_KES = tuple("additional_ke{}".format(number) for number in range(1, 8))
NO_KE = "none"


# What a tunnel does once it is down without an operator's asking for it.
TRAP, RESTART, CLEAR = AFTERWARDS = ("trap", "restart", "clear")
START, NEVER = "start", "none"

# What of a policy's traffic one child SA carries.
PER_SELECTOR, PER_POLICY = CHILD_PER = ("selector", "policy")

# Whether an initiator makes the IKE SA without a child first (RFC 6023).
ALLOW, PREFER, FORCE = CHILDLESS = ("allow", "prefer", "force")

REPLAY_WINDOW = 128  # packets: what a busy line with priorities may reorder
LARGEST_REPLAY_WINDOW = 4096  # XFRM's


@dataclass(frozen=True)
class Rule:
    """One directive or block in one or more contexts.

    ``argument`` is a key of ARGUMENTS, or ``block``. ``listed``: the value may be a list in braces. ``defaults`` are
    the built-in ones for IKEv1 and IKEv2, None where there is none. ``idle`` names the protocols in which upstream
    reads it without effect, ``own`` those in which ``default { }`` is not consulted. ``more``: only dialect tanuki
    knows it.
    """

    name: str
    where: tuple[str, ...]
    argument: str
    meaning: str
    words: tuple[str, ...] = ()
    more_words: tuple[str, ...] = ()  # of dialect tanuki
    listed: bool = False
    empty: bool = False
    indexed: bool = False
    single: bool = False  # a second one is an error; elsewhere one of them wins
    defaults: tuple[object, object] = (None, None)
    idle: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    ours: str = ACTS
    more: bool = False

    def default(self, protocol: str) -> object:
        """The built-in default in ``ikev1`` or ``ikev2``."""
        return self.defaults[protocol == IKEV2]

    def known(self, dialect: str) -> bool:
        """Whether a dialect has this directive at all."""
        return dialect == TANUKI or not self.more

    def known_words(self, dialect: str) -> tuple[str, ...]:
        return self.words + self.more_words if dialect == TANUKI else self.words


_V1 = (IKEV1,)
_V2 = (IKEV2,)
_IKE = (IKEV1, IKEV2)
_ANY = (IKEV1, IKEV2, KINK)
_ON = (True, True)
_OFF = (False, False)

RULES = (
    # Sections
    Rule("setval", (TOP,), "variable", "names for values, used as ${NAME}", listed=True, single=True),
    Rule("include", (TOP,), "pattern", "reads the files that match a glob pattern"),
    Rule("default", (TOP,), "block", "values for what the sections below leave out", single=True),
    Rule("interface", (TOP,), "block", "where the daemons listen", single=True),
    Rule("resolver", (TOP,), "block", "spmd's DNS proxy", single=True),
    Rule("remote", (TOP,), "block", "a peer", indexed=True),
    Rule("selector", (TOP,), "block", "traffic of one direction", indexed=True),
    Rule("policy", (TOP,), "block", "what happens to the traffic", indexed=True),
    Rule("ipsec", (TOP,), "block", "a bundle of SAs and its lifetime", indexed=True),
    Rule("sa", (TOP,), "block", "one protocol and its algorithms", indexed=True),
    Rule("addresspool", (TOP,), "block", "addresses to lease", indexed=True, empty=True, ours=UNSUPPORTED),
    Rule("remote", (DEFAULT,), "block", "values for every remote", single=True),
    Rule("policy", (DEFAULT,), "block", "values for every policy", single=True),
    Rule("ipsec", (DEFAULT,), "block", "values for every ipsec", single=True),
    Rule("sa", (DEFAULT,), "block", "values for every sa", single=True),
    Rule("", ("addresspool",), "range", "first and last address, with a blank on both sides of the dash"),
    # interface
    Rule("ike", ("interface",), "endpoint", "addresses and ports for IKE", listed=True, single=True),
    Rule("kink", ("interface",), "endpoint", "addresses for KINK", listed=True, single=True, ours=NEEDLESS),
    Rule("spmd", ("interface",), "endpoint", "spmd's control socket", listed=True, single=True, ours=NEEDLESS),
    Rule("spmd_password", ("interface",), "file", "spmd's password file", single=True, ours=NEEDLESS),
    Rule("application_bypass", ("interface",), "boolean", "IKE's own sockets bypass IPsec", single=True, defaults=_ON),
    # resolver
    Rule("resolver", ("resolver",), "boolean", "run the DNS proxy", single=True, defaults=_OFF, ours=NEEDLESS),
    Rule("nameserver", ("resolver",), "endpoint", "servers to ask", listed=True, single=True, ours=UNSUPPORTED),
    Rule("dns_query", ("resolver",), "endpoint", "addresses to answer on", listed=True, single=True, ours=UNSUPPORTED),
    # remote
    Rule(
        "acceptable_kmp",
        ("remote",),
        "word",
        "protocols that the peer may use, the first one initiates",
        words=_ANY,
        listed=True,
    ),
    Rule("selector_index", ("remote",), "string", "inbound selector for kinkd", ours=NEEDLESS),
    Rule("ikev1", ("remote",), "block", "settings for IKEv1"),
    Rule("ikev2", ("remote",), "block", "settings for IKEv2"),
    Rule("kink", ("remote",), "block", "settings for KINK", ours=UNSUPPORTED),
    # ikev1, ikev2, kink
    Rule(
        "logmode",
        _ANY,
        "word",
        "how much is logged of this peer",
        words=("normal", "debug"),
        defaults=("normal", "normal"),
        idle=_V1,
    ),
    Rule("logfile", _ANY, "file", "this peer's own log file", idle=_V1, ours=UNSUPPORTED),
    Rule("passive", _ANY, "boolean", "never initiate", defaults=_OFF),
    Rule("use_coa", _ANY, "boolean", "Mobile IPv6: use the care-of address", defaults=_OFF, idle=_V1, ours=UNSUPPORTED),
    Rule("peers_ipaddr", _ANY, "endpoint", "where the peer is", listed=True, own=_IKE),
    Rule("peers_kmp_port", _ANY, "string", "never usable: every value fails to load", ours=UNSUPPORTED),
    Rule("verify_id", _ANY, "boolean", "compare the peer's identity with peers_id", defaults=(False, True)),
    Rule(
        "verify_pubkey", _ANY, "boolean", "verify the certificate", defaults=(True, False), idle=_V2, ours=UNSUPPORTED
    ),
    Rule("send_cert", _ANY, "boolean", "send a certificate", defaults=(True, False), idle=_V2, ours=UNSUPPORTED),
    Rule("send_cert_req", _ANY, "boolean", "ask for one", defaults=(True, False), idle=_V2, ours=UNSUPPORTED),
    Rule("nonce_size", _ANY, "bytes", "length of the nonce", defaults=(16, 32)),
    Rule("initial_contact", _ANY, "boolean", "announce a first contact", defaults=_OFF, idle=_V2, own=_V1),
    Rule("nat_traversal", _ANY, "boolean", "detect NAT, encapsulate in UDP", defaults=_ON),
    Rule(
        "force_encapsulation",
        _IKE,
        "boolean",
        "encapsulate in UDP without a NAT too, where ESP itself doesn't get through",
        defaults=_OFF,
        more=True,
    ),
    Rule("support_proxy", _ANY, "boolean", "PF_KEY proxy address", defaults=_OFF, idle=_V2, ours=UNSUPPORTED),
    Rule("my_id", _ANY, "identity", "who we say we are; the first one counts", listed=True),
    Rule("peers_id", _ANY, "identity", "who the peer may be", listed=True),
    Rule(
        "selector_check",
        _ANY,
        "word",
        "whether a child SA's mode must be as configured",
        words=("obey", "exact"),
        defaults=("exact", "exact"),
        idle=_V1,
    ),
    Rule(
        "proposal_check",
        _ANY,
        "word",
        "what differs from our proposal and may",
        words=("obey", "strict", "claim", "exact"),
        defaults=("strict", "obey"),
        idle=_V2,
    ),
    Rule("random_pad_content", _ANY, "boolean", "fill padding at random", defaults=(True, False)),
    Rule("random_padlen", _ANY, "boolean", "pad by a random length", defaults=_OFF, idle=_V1, ours=UNSUPPORTED),
    Rule("max_padlen", _ANY, "bytes", "longest padding", defaults=(0, 0), idle=_V1, ours=UNSUPPORTED),
    Rule("max_retry_to_send", _ANY, "number", "retransmissions", defaults=(5, 10)),
    Rule("interval_to_send", _ANY, "time", "until the first retransmission", defaults=(1, 1)),
    Rule("times_per_send", _ANY, "number", "datagrams per transmission", defaults=(1, 1)),
    Rule("kmp_sa_lifetime_time", _ANY, "time", "lifetime of an IKE SA", defaults=(28800, 86400)),
    Rule(
        "kmp_sa_reauth_time",
        _V2,
        "time",
        "authenticate anew after so long, make before break; in IKEv1 every new IKE SA does",
        defaults=(None, 0),
        more=True,
    ),
    Rule("kmp_sa_lifetime_byte", _ANY, "bytes", "lifetime of an IKE SA in bytes", defaults=(0, 0), idle=_V2),
    Rule("kmp_sa_nego_time_limit", _ANY, "time", "limit of an IKE negotiation", defaults=(30, 600), idle=_V1),
    Rule("kmp_sa_grace_period", _ANY, "time", "how long an IKE SA stays without children", defaults=(0, 0), idle=_V1),
    Rule("ipsec_sa_nego_time_limit", _ANY, "time", "limit of a child negotiation", defaults=(30, 600), idle=_V2),
    Rule(
        "kmp_enc_alg",
        _ANY,
        "algorithm",
        "encryption of IKE",
        listed=True,
        single=True,
        words=ENCRYPTION_WORDS,
        more_words=TANUKI_ENCRYPTION,
    ),
    Rule(
        "kmp_hash_alg",
        _ANY,
        "algorithm",
        "IKEv1: hash; IKEv2: integrity of IKE",
        listed=True,
        single=True,
        words=DIGEST_WORDS,
        more_words=TANUKI_DIGESTS,
    ),
    Rule(
        "kmp_prf_alg",
        _ANY,
        "algorithm",
        "pseudo-random function",
        listed=True,
        single=True,
        words=DIGEST_WORDS,
        more_words=TANUKI_DIGESTS,
        idle=_V1,
    ),
    Rule(
        "kmp_dh_group",
        _ANY,
        "group",
        "key exchange: names or numbers, not both",
        listed=True,
        single=True,
        words=GROUP_WORDS,
        more_words=TANUKI_GROUPS,
    ),
    *(
        Rule(
            name,
            _V2,
            "group",
            "key exchange number {} in addition (RFC 9370); none: without it, where the peer lacks it".format(number),
            listed=True,
            single=True,
            words=(*GROUPS, NO_KE),
            more=True,
        )
        for number, name in enumerate(ADDITIONAL_KES, 1)
    ),
    Rule(
        "kmp_auth_method",
        _ANY,
        "algorithm",
        "authentication",
        listed=True,
        single=True,
        words=("psk", "dss", "rsasig", "rsaenc", "rsarev", "gssapi_krb"),
    ),
    Rule(
        "mobility_role",
        _ANY,
        "word",
        "Mobile IPv6 role",
        words=("agent", "mobile", "correspondent"),
        idle=_IKE,
        ours=UNSUPPORTED,
    ),
    Rule("script", _ANY, "hook", "programs to run on events", listed=True),
    Rule("my_public_key", _ANY, "key pair", "our certificate and key files", own=_V2, ours=UNSUPPORTED),
    Rule("peers_public_key", _ANY, "public key", "the peer's certificate file", own=_V2, ours=UNSUPPORTED),
    Rule("pre_shared_key", _ANY, "file", "file whose bytes are the key", own=_IKE),
    Rule("ppk", _V2, "file", "file whose bytes are the post-quantum pre-shared key (RFC 8784)", own=_V2, more=True),
    Rule("ppk_id", _V2, "string", "its name, the same at both ends", own=_V2, more=True),
    Rule("ppk_required", _V2, "boolean", "no IKE SA without it", defaults=_OFF, more=True),
    Rule(
        "exchange_mode",
        (IKEV1, KINK),
        "word",
        "phase 1 exchange",
        words=("main", "aggressive", "base"),
        defaults=("main", None),
    ),
    Rule("my_gssapi_id", (IKEV1, KINK), "string", "GSS-API name", ours=UNSUPPORTED),
    Rule("dpd", (IKEV1, KINK), "boolean", "announce and answer dead peer detection", defaults=_ON),
    Rule("dpd_delay", _ANY, "time", "silence before a probe; 0: no probe in IKEv1", defaults=(0, 3600)),
    Rule("dpd_retry", (IKEV1, KINK), "time", "time between probes", defaults=(5, 5)),
    Rule("dpd_maxfail", (IKEV1, KINK), "number", "unanswered probes that mean a dead peer", defaults=(5, 5)),
    Rule("need_pfs", _ANY, "boolean", "a fresh key exchange for child SAs", defaults=_OFF),
    Rule("cookie_required", (IKEV2, KINK), "boolean", "always demand a cookie", defaults=_OFF, own=_V2),
    Rule(
        "childless",
        _V2,
        "word",
        "initiator makes the IKE SA without a child first (RFC 6023): no, where the peer can, or not at all without",
        words=CHILDLESS,
        defaults=(None, ALLOW),
        more=True,
    ),
    Rule("send_peers_id", (IKEV2, KINK), "boolean", "initiator names the responder (IDr)", defaults=_OFF),
    Rule("provide", (IKEV2, KINK), "block", "configuration to hand out", empty=True, ours=UNSUPPORTED),
    Rule(
        "request",
        (IKEV2, KINK),
        "word",
        "configuration to ask for",
        words=REQUEST_WORDS,
        listed=True,
        empty=True,
        ours=UNSUPPORTED,
    ),
    Rule("my_principal", (KINK,), "string", "our Kerberos principal", ours=UNSUPPORTED),
    Rule("peers_principal", (KINK,), "string", "the peer's Kerberos principal", ours=UNSUPPORTED),
    # provide
    Rule("addresspool", ("provide",), "string", "pool to lease from", ours=UNSUPPORTED),
    Rule("dns", ("provide",), "endpoint", "name servers", listed=True, ours=UNSUPPORTED),
    Rule("dhcp", ("provide",), "endpoint", "DHCP servers", listed=True, ours=UNSUPPORTED),
    Rule("application_version", ("provide",), "string", "version text", ours=UNSUPPORTED),
    Rule("mip6_home_prefix", ("provide",), "network", "Mobile IPv6 home prefix", ours=UNSUPPORTED),
    # selector
    Rule("direction", ("selector",), "word", "direction of the policy", words=("outbound", "inbound")),
    Rule("src", ("selector",), "network", "source; the first one counts", listed=True),
    Rule("dst", ("selector",), "network", "destination; the first one counts", listed=True),
    Rule("upper_layer_protocol", ("selector",), "protocol", "protocol; for ICMP also type and code"),
    Rule("policy_index", ("selector",), "string", "its policy"),
    Rule("order", ("selector",), "number", "used by kinkd only", ours=NEEDLESS),
    Rule("reqid", ("selector",), "number", "request id of the policy and, in IKEv2, of the SA", defaults=(0, 0)),
    Rule("tagged", ("selector",), "string", "a pf tag instead of addresses", ours=UNSUPPORTED),
    Rule("next_header_including", ("selector",), "string", "", listed=True, idle=_IKE, ours=UNSUPPORTED),
    # policy
    Rule(
        "action",
        ("policy",),
        "word",
        "what is done",
        words=("auto_ipsec", "static_ipsec", "discard", "none", "bypass"),
    ),
    Rule("install", ("policy",), "boolean", "whether the policy goes into the kernel", defaults=_ON),
    Rule("remote_index", ("policy",), "string", "the peer"),
    Rule("ipsec_mode", ("policy",), "word", "mode of the SAs", words=("tunnel", "transport")),
    Rule("ipsec_index", ("policy",), "string", "the bundle; use exactly one", listed=True),
    Rule("ipsec_level", ("policy",), "word", "whether an SA is required", words=("require", "use", "unique")),
    Rule(
        "start_action",
        ("policy",),
        "word",
        "what brings it up: its first packet, the daemon's start, or only an operator or the peer",
        words=("trap", "start", "none"),
        defaults=("trap", "trap"),
        more=True,
    ),
    Rule(
        "close_action",
        ("policy",),
        "word",
        "when the peer takes it down: wait for a packet, come back at once, or wait for an operator or the peer",
        words=AFTERWARDS,
        defaults=("trap", "trap"),
        more=True,
    ),
    Rule(
        "dpd_action",
        ("policy",),
        "word",
        "the same when the peer falls silent",
        words=AFTERWARDS,
        defaults=("restart", "restart"),
        more=True,
    ),
    Rule(
        "child_per",
        ("policy",),
        "word",
        "a child SA for each selector, or one for all of the policy's (IKEv2, tunnel mode)",
        words=CHILD_PER,
        defaults=(PER_SELECTOR, PER_SELECTOR),
        more=True,
    ),
    Rule("my_sa_ipaddr", ("policy",), "address", "our end of the SA"),
    Rule("peers_sa_ipaddr", ("policy",), "address", "the peer's end of the SA"),
    # ipsec
    Rule("ipsec_sa_lifetime_time", ("ipsec",), "time", "lifetime of an SA", defaults=(28800, 0)),
    Rule("ipsec_sa_lifetime_byte", ("ipsec",), "bytes", "lifetime of an SA in bytes", defaults=(0, 0)),
    Rule(
        "ipsec_sa_lifetime_packet",
        ("ipsec",),
        "number",
        "lifetime of an SA in packets, either end for itself",
        defaults=(0, 0),
        more=True,
    ),
    Rule(
        "replay_window",
        ("ipsec",),
        "number",
        "packets that may arrive late; 0 turns the protection against replays off",
        defaults=(REPLAY_WINDOW, REPLAY_WINDOW),
        more=True,
    ),
    Rule(
        "ext_sequence",
        ("ipsec",),
        "boolean",
        "extended sequence numbers, where the peer has them (IKEv2)",
        defaults=_OFF,
        idle=_IKE,
    ),
    Rule("sa_index", ("ipsec",), "string", "its SAs, one per protocol", listed=True),
    # sa
    Rule("sa_protocol", ("sa",), "word", "protocol of the SA", words=("esp", "ah", "ipcomp")),
    Rule(
        "esp_enc_alg",
        ("sa",),
        "algorithm",
        "encryption of ESP",
        listed=True,
        single=True,
        words=ENCRYPTION_WORDS,
        more_words=TANUKI_ENCRYPTION,
    ),
    Rule(
        "esp_auth_alg",
        ("sa",),
        "algorithm",
        "integrity of ESP",
        listed=True,
        single=True,
        words=DIGEST_WORDS,
        more_words=TANUKI_DIGESTS,
    ),
    Rule(
        "ah_auth_alg",
        ("sa",),
        "algorithm",
        "integrity of AH",
        listed=True,
        single=True,
        words=DIGEST_WORDS,
        more_words=TANUKI_DIGESTS,
    ),
    Rule(
        "ipcomp_alg",
        ("sa",),
        "algorithm",
        "compression",
        listed=True,
        single=True,
        words=("oui", "deflate", "lzs"),
        ours=UNSUPPORTED,
    ),
    Rule("spi", ("sa",), "number", "SPI of a static SA", defaults=(0, 0), ours=UNSUPPORTED),
)

CONTEXTS: dict[str, dict[str, Rule]] = {}
for _rule in RULES:
    for _context in _rule.where:
        CONTEXTS.setdefault(_context, {})[_rule.name] = _rule


def rule_of(context: str, name: str) -> Rule | None:
    """The rule of a directive in a context (``top``, ``ikev1``, ``selector``, …); None if it doesn't belong there."""
    return CONTEXTS[context].get(name)


def contexts_of(name: str) -> tuple[str, ...]:
    """Where a directive may stand: for hints about a misplaced one."""
    return tuple(context for context, rules in CONTEXTS.items() if name in rules)
