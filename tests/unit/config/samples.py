"""The worked examples of the language: a how-to's IKEv1 tunnel, a fuller one, and one of IKEv2."""

from pathlib import Path

SAMPLES = Path(__file__).with_name("samples")
NAMES = ("howto", "ikev1_3des", "ikev2_aes")


def sample(name: str) -> bytes:
    return (SAMPLES / "{}.conf".format(name)).read_bytes()
