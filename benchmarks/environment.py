"""The Python that all sides run with: an environment of its own, made once, in which the peers are installed."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers.txt")
NEEDED = ("cloudpickle", "jsonargparse", "rich", "typing_extensions")
VERSIONS = """
import importlib.metadata, json
print(json.dumps({one.name.lower().replace("-", "_"): one.version for one in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter, and the versions of what it can import."""

    python: str
    versions: Mapping[str, str]

    def lacks(self, packages: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `packages` that are not installed in it."""
        return tuple(package for package in packages if package not in self.versions)

    def variables(self) -> dict[str, str]:
        """Environment of what is measured: this checkout comes first, and nothing of ours is set."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("TASKPROC_", "PYTHON"))}
        return {**kept, "PYTHONPATH": str(ROOT)}


def present() -> Environment:
    """The Python that runs this, with whatever is installed in it."""
    return Environment(sys.executable, _versions(sys.executable))


def prepare(folder: Path, tell: Callable[[str], None]) -> Environment:
    """An environment below `folder` with the peers that can be installed.

    Made when it is not there, or when peers.txt has changed. Without what taskproc needs it is of no use, and the
    present Python is taken.
    """
    place = folder / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python, note = place / "bin" / "python", place / "peers.txt"
    if not python.with_name("pip").exists():  # which comes last
        tell(f"makes an environment in {place}")
        subprocess.run([sys.executable, "-m", "venv", place], check=True, stdout=sys.stderr)
    wanted = PEERS.read_text()
    if (not note.exists() or note.read_text() != wanted) and _install(str(python), tell):
        note.write_text(wanted)
    made = Environment(str(python), _versions(str(python)))
    if missing := made.lacks(NEEDED):
        tell(f"{', '.join(missing)} cannot be installed; takes the Python that runs this")
        return present()
    return made


def _install(python: str, tell: Callable[[str], None]) -> bool:
    """Whether all could be installed; one by one where all at once cannot be."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    tell("installs the peers")
    if subprocess.run([*pip, "-r", PEERS], stdout=sys.stderr, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return True
    failed = False
    for requirement in _requirements():
        done = subprocess.run([*pip, requirement], stdout=sys.stderr, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            failed = True
            tell(f"cannot install {requirement}")
    return not failed


def _requirements() -> Iterator[str]:
    for line in PEERS.read_text().splitlines():
        if line and not line.startswith("#"):
            yield line


def _versions(python: str) -> Mapping[str, str]:
    told = subprocess.run([python, "-c", VERSIONS], stdout=subprocess.PIPE, text=True, check=True).stdout
    versions: dict[str, str] = json.loads(told)
    return versions
