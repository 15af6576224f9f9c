"""A wheel of the clarify_rl that runs here, out of a checkout or an installation, without build tools or network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import clarify_rl
from clarify_rl.errors import ClarifyError

_BESIDE = ("configs", "envs", "rewards")  # in a checkout they lie beside the package, not in it
_WHEEL = "Wheel-Version: 1.0\nGenerator: clarify-rl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Wheel:
    """A wheel that needs nothing, and what it left out: the requirements of the package."""

    path: Path
    requirements: tuple[str, ...]


def pack_wheel(folder: Path) -> Wheel:
    """Writes the wheel into `folder`. Its version ends with a digest of its files.

    Ray knows a wheel by its file name only, so that without the digest it would go on with yesterday's code. It has pip
    install the wheel into a folder of its own, where pip would fetch torch again if the wheel required it.
    """
    installed = _installed()
    files = dict(sorted(_files()))
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = f"{installed.version.partition('+')[0]}+{digest.hexdigest()[:12]}"
    info = f"clarify_rl-{version}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: clarify-rl\nVersion: {version}\n".encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    path = folder / f"clarify_rl-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # ZipInfo: one date for all
    needed = [line for line in installed.requires or [] if "extra ==" not in line]
    return Wheel(path, tuple(needed))


def _installed() -> Distribution:
    try:
        return distribution("clarify-rl")
    except PackageNotFoundError:
        raise ClarifyError(
            "clarify-rl is imported from a folder, but not installed. Install it first: pip install -e ."
        ) from None


def _files() -> Iterator[tuple[str, bytes]]:
    """Every file of the package under the name that it has when installed."""
    root = Path(clarify_rl.__file__).parent
    folders = {"clarify_rl": root}
    for name in _BESIDE:
        folder = Path(next(iter(import_module(f"clarify_rl.{name}").__path__)))
        if not folder.is_relative_to(root):
            folders[f"clarify_rl/{name}"] = folder
    for prefix, folder in folders.items():
        for path in folder.rglob("*"):
            inner = path.relative_to(folder)
            if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in inner.parts):
                yield f"{prefix}/{inner.as_posix()}", path.read_bytes()
