"""The lab's tiny initramfs: busybox, the few modules that reach disk and network, the init script beside this file."""

from __future__ import annotations

from pathlib import Path

from lab.image.cpio import Archive

HERE = Path(__file__).parent


def build_initramfs(tree: Path) -> bytes:
    """The initramfs for the one kernel installed in `tree`, an unpacked root file system."""
    modules = next((tree / "lib/modules").iterdir())
    order = load_order((modules / "modules.dep").read_text(), read_list(HERE / "modules.txt"))
    archive = Archive()
    for directory in ("proc", "dev", "disk"):
        archive.add_directory(directory)
    archive.add_file("init", (HERE / "init").read_bytes(), 0o755)
    archive.add_file("bin/busybox", (tree / "bin/busybox").read_bytes(), 0o755)
    archive.add_file("modules.order", "".join(f"{Path(path).name}\n" for path in order).encode())
    for path in order:
        archive.add_file(f"modules/{Path(path).name}", (modules / path).read_bytes())
    return archive.to_bytes()


def load_order(modules_dep: str, wanted: list[str]) -> list[str]:
    """Paths of the wanted modules and of all they depend on, dependencies first.

    `modules_dep` is depmod's text: "path: path …" lines. A wanted module that has no line is built into the kernel.
    """
    dependencies = dict(line.split(":", 1) for line in modules_dep.splitlines())
    paths = {Path(path).name.split(".")[0].replace("-", "_"): path for path in dependencies}
    order: list[str] = []
    for path in (paths[name] for name in wanted if name in paths):
        # depmod lists all dependencies, the deepest last.
        for needed in (*reversed(dependencies[path].split()), path):
            if needed not in order:
                order.append(needed)
    return order


def read_list(path: Path) -> list[str]:
    """The lines of a list file, without comments and empty lines."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]
