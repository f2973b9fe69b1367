"""The nouns of the store, which remembers results by key, in numbered versions, and knows no task and no plan.

A *place* is where the results of one key lie. A *version* is a published result, immutable. An *attempt* is the right
to publish the next version; it is won by one, lost by all others, and ends by commit, fail or not_needed.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import NamedTuple, Union

from taskproc.frozen import frozen
from taskproc.kernel.model import Record, Stamp

TINY = 512  # bytes of a payload that goes with its version, so that who reads it need not open a file


class Place(NamedTuple):
    """Name of the task class, integer id within it, full key. The id comes from the key; the key decides."""

    name: str
    id: int
    key: str


@frozen
class Version:
    """A published result: its record is verified, its payload is not.

    Attributes:
        path: where it lies, for people and for `load`.
        head: bytes before the payload; `size`: bytes before the record; both with their SHA-256.
        about: what else the record says: versions of the software, host, wall-clock times.
        payload: its payload, if that is tiny and was at hand; as unverified as what is read from a file.
    """

    place: Place
    path: str
    record: Record
    head: int = 0
    head_digest: str = ""
    size: int = 0
    digest: str = ""
    about: Mapping[str, object] = field(default_factory=dict)
    payload: bytes = b""


@frozen
class Facts:
    """What a result was made from (see Record), and what else is to be remembered of it.

    Attributes:
        mark: of the classes and functions whose names stand in the pickled value: what goes behind the value's digest.
            Equal bytes of an object whose class is another now do not do the same.
        named: a digest of the value that is the same however the value was made, given the cache and the data
            directory; None: that of the pickle will do. The directory is empty where what lies in it is not known.
        level: of gzip, 0 to 9; None: what pays.
        packages: name → version of the packages that the code reached. It decides nothing.
        observed: as in a Record; unseen: what could not be, in words.
    """

    code: str
    needs: Mapping[str, Stamp]
    settings: Mapping[str, str] = field(default_factory=dict)
    untracked: Sequence[str] = ()
    seconds: float = 0.0
    level: int | None = None
    mark: Callable[[Sequence[object]], str] = lambda things: ""
    packages: Mapping[str, str] = field(default_factory=dict)
    named: Callable[[object, str, str], str | None] = lambda value, root, home: None
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unseen: Sequence[str] = ()

    def value(
        self,
        value: object,
        digest: str,
        met: Sequence[object],
        *,
        files: str | None = "",
        root: str = "",
        home: str = "",
        former: Callable[[], str] = str,
    ) -> str:
        """The value half of a stamp: `=` and a digest by name, or that of the pickle, and what stands beside it.

        Args:
            digest, met: of the pickle, and what goes by name in it.
            files: digest of the files in the data directory `home`, which belong to the value; None: not known.
            former: the value half of the version before. What has the pickle that it had keeps what it had, for older
                versions have no digest by name.
        """
        mark = self.mark(met)
        by_pickle = f"{digest}{mark}"
        named = self.named(value, root, home if files is not None else "")
        if files is None:
            return f"{by_pickle}+{os.urandom(8).hex()}"
        beside = f"+{files}" if files else ""
        if named is None or (not files and former() == by_pickle):
            return by_pickle + beside
        return f"={named}{mark}{beside}"


Pick = Callable[[Iterator[Version]], Union[Version, None]]
