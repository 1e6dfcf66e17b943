"""The tables of docs/racoon2-language.md, made from the grammar table and the registry of algorithms.

``python3 -m tests.unit.config.language_tables`` (with plugins/module_utils on PYTHONPATH) writes them anew.
"""

from pathlib import Path

from ike.config.grammar import (
    ARGUMENTS,
    DIGEST_WORDS,
    ENCRYPTION_WORDS,
    GROUP_WORDS,
    KINK,
    NEEDLESS,
    RULES,
    UNSUPPORTED,
)
from ike.crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, GROUPS, HASHES, INTEGRITIES, PRFS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "racoon2-language.md"

LONG_LISTS = ("algorithm", "group")  # whose words stand in tables of their own


def table(header, rows):
    lines = ["| {} |".format(" | ".join(header)), "|{}|".format("|".join("---" for _ in header))]
    lines += ["| {} |".format(" | ".join(row)) for row in rows]
    return "\n".join(lines)


def code(text):
    return "`{}`".format(text.replace("|", "\\|")) if text else ""


# ---- Directives -----------------------------------------------------------------------------------------------------


def directives():
    header = ("Directive", "Stands in", "Value", "Default (v1 / v2)", "Meaning", "Without effect")
    return table(header, [directive(rule) for rule in RULES])


def directive(rule):
    return (
        code(rule.name) or "*(range)*",
        ", ".join("top level" if context == "top" else context for context in rule.where),
        value(rule),
        default(rule),
        rule.meaning,
        effect(rule),
    )


def value(rule):
    if rule.argument == "block":
        return code("INDEX { … }" if rule.indexed else "{ … }")
    text = ARGUMENTS[rule.argument]
    if rule.words and rule.argument not in LONG_LISTS:
        text = text.replace("WORD", " | ".join(rule.words))
    return code(text) + (", or a list" if rule.listed else "")


def default(rule):
    shown = [default_value(one) for one in rule.defaults]
    return shown[0] if shown[0] == shown[1] else " / ".join(one or "-" for one in shown)


def default_value(found):
    if isinstance(found, bool):
        return "on" if found else "off"
    return "" if found is None else str(found)


def effect(rule):
    parts = []
    if rule.idle:
        parts.append("upstream: {}".format(", ".join(rule.idle)))
    if rule.ours == UNSUPPORTED:
        parts.append("here")
    elif rule.ours == NEEDLESS:
        parts.append("here (not needed)")
    if rule.more:
        parts.append("only dialect tanuki")
    if rule.where == (KINK,):
        parts.append("KINK only")
    return "; ".join(parts)


# ---- Algorithms -----------------------------------------------------------------------------------------------------


def number(row, attribute):
    found = getattr(row, attribute)
    return "-" if found is None else str(found)


def dialects(words, name):
    return "both" if name in words else "tanuki"


def ciphers():
    header = ("Keyword", "Key bits", "IKEv1 phase 1", "IKEv1 ESP", "IKEv2 ENCR", "ICV bytes", "Dialect", "Weak")
    rows = []
    for keyword, (name, bits) in ENCRYPTION_KEYWORDS.items():
        row = CIPHERS[name]
        lengths = str(bits) if bits or row.key_bits == (0,) else "written: " + ", ".join(map(str, row.key_bits))
        numbers = (number(row, "phase1"), number(row, "esp1"), number(row, "ikev2"))
        rows.append(
            (code(keyword), lengths, *numbers, str(row.icv or ""), dialects(ENCRYPTION_WORDS, keyword), row.weak)
        )
    rows += [
        (code(word), "", "", "", "", "", "racoon2: read, not supported here", "")
        for word in ENCRYPTION_WORDS
        if word not in ENCRYPTION_KEYWORDS
    ]
    return table(header, rows)


def hashes():
    header = ("Keyword", "`kmp_hash_alg` of IKEv1 (hash)", "Weak")
    return table(header, [(code(row.name), str(row.phase1), row.weak) for row in HASHES.values()])


def digests():
    header = (
        "Keyword", "`kmp_hash_alg` of IKEv2, ESP and AH in IKEv2 (INTEG)", "`kmp_prf_alg` (PRF)",
        "ESP in IKEv1 (attribute)", "AH in IKEv1 (transform)", "ICV bits", "Dialect", "Weak",
    )  # fmt: skip
    rows = []
    for row in INTEGRITIES.values():
        prf = PRFS.get(row.name)
        numbers = (number(row, "ikev2"), str(prf.ikev2) if prf else "-", number(row, "esp1"), number(row, "ah1"))
        rows.append((code(row.name), *numbers, str(8 * row.icv), dialects(DIGEST_WORDS, row.name), row.weak))
    rows += [
        (code(word), "", "", "", "", "", "racoon2: read, not supported here", "")
        for word in DIGEST_WORDS
        if word not in INTEGRITIES and word not in HASHES
    ]
    return table(header, rows)


def groups():
    header = ("Keyword", "Number", "IKEv1", "Dialect", "Weak")
    rows = [
        (code(row.name), str(row.number), "yes" if row.ikev1 else "no", dialects(GROUP_WORDS, row.name), row.weak)
        for row in GROUPS.values()
    ]
    return table(header, rows)


TABLES = {"directives": directives, "ciphers": ciphers, "hashes": hashes, "digests": digests, "groups": groups}


def markers(name):
    return "<!-- table: {} -->\n".format(name), "<!-- end of table -->\n"


def filled(page):
    """The page with every table made anew."""
    for name, make in TABLES.items():
        start, end = markers(name)
        head, _, rest = page.partition(start)
        _, _, tail = rest.partition(end)
        page = head + start + "\n" + make() + "\n\n" + end + tail
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
