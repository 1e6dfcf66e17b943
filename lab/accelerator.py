"""Choose QEMU's accelerator: KVM where a guest was seen to run under it, software emulation elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from lab.image.build import Image

PROBE_LIMIT = 8  # seconds; a working KVM needs less than two
EMULATION = "tcg,thread=multi"


def cpu_model(accelerators: list[str]) -> str:
    """QEMU's -cpu: all that KVM offers; without it an old model, since emulating AVX costs more than it gives."""
    return "max" if "kvm" in accelerators else "Nehalem"


def choose_accelerators(image: Image, cache: Path) -> list[str]:
    """Values for QEMU's -accel, best first. The probe's answer is kept in `cache` until the host reboots."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if cache.exists():
        known = json.loads(cache.read_text())
        if known["boot"] == boot:
            return known["accelerators"]
    accelerators = ["kvm", EMULATION] if _kvm_works(image) else [EMULATION]
    cache.write_text(json.dumps({"boot": boot, "accelerators": accelerators}))
    return accelerators


def _kvm_works(image: Image) -> bool:
    """Boot the image's kernel under KVM as far as its initramfs. Where KVM is of no use, the guest hangs."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = ["qemu-system-x86_64", "-accel", "kvm", "-M", "q35", "-m", "256", "-nodefaults", "-no-user-config"]
    command += ["-display", "none", "-serial", "stdio", "-no-reboot", "-append", "console=ttyS0 quiet lab.probe"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    try:
        output = subprocess.check_output(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PROBE_LIMIT
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return False
    return b"lab: the accelerator works" in output
