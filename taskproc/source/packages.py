"""The versions of installed packages, by the name that is imported."""
from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping


def versions_of(packages: Iterable[str]) -> Mapping[str, str]:
    """Top-level package → version, sorted; without what is not installed. Asked once per process for each."""
    found = {package: _version_of(package) for package in sorted(packages)}
    return {package: version for package, version in found.items() if version}


@functools.cache
def _version_of(package: str) -> str:
    from importlib import metadata  # here: 10 ms, and not needed where no library is reached

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # `yaml` is installed as PyYAML
        names = _distributions().get(package)
        return metadata.version(names[0]) if names else ""


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib import metadata

    return metadata.packages_distributions()
