"""The worked examples of racoon2's language: a how-to's IKEv1 tunnel, and the two of the reference."""

from pathlib import Path

SAMPLES = Path(__file__).with_name("samples")
NAMES = ("howto", "ikev1_3des", "ikev2_aes")


def sample(name: str) -> bytes:
    return (SAMPLES / "{}.conf".format(name)).read_bytes()
