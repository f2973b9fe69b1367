"""What a store is: it remembers results by key, in numbered versions, and knows no task and no plan.

A *place* is where the results of one key lie. A *version* is a published result, immutable. An *attempt* is the right
to publish the next version; it is won by one, lost by all others, and ends by commit, fail or not_needed.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Union

from taskproc.frozen import frozen
from taskproc.kernel.model import Elsewhere, Record, Stamp

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


class Attempt(Protocol):
    """The right to publish one version. One thread at a time."""

    @property
    def number(self) -> int:
        """Number of the version to be."""
        ...

    @property
    def directory(self) -> Path:
        """The data directory of this attempt: made, and empty, when it is first asked for."""
        ...

    def commit(self, value: object, facts: Facts) -> Version | None:
        """Publish `value` in one atomic step; None: the attempt was taken over or cleared, and nothing was published.

        Raises UnstorableResult if it cannot be pickled, OSError if it cannot be written; then nothing is visible and
        the attempt may still `fail`.
        """
        ...

    def fail(self, why: Mapping[str, object]) -> None:
        """End without a version; `why` (JSON) is kept for people."""
        ...

    def not_needed(self) -> None:
        """End without a version and without a word."""
        ...


Pick = Callable[[Iterator[Version]], Union[Version, None]]
Claim = Union[Attempt, Version, Elsewhere]


class Store(Protocol):
    """Results by place. Every verb may be called from any thread."""

    def look(self, place: Place) -> Iterator[Version]:
        """Published versions, newest first, each record verified as it is reached: one listing, then a read a version.

        What is damaged or belongs to another key is left out.
        """
        ...

    def load(self, version: Version) -> object:
        """The value. Size and digest of its bytes are verified before one of them is unpickled.

        Raises CorruptedResult (it was moved aside, where possible) or MissingResult (cleared meanwhile, or it does not
        load).
        """
        ...

    def claim(self, place: Place, arguments: Callable[[], str], pick: Pick, *, forced: bool = False) -> Claim:
        """The right to make the next version, unless somebody else has it or `pick` finds a version good after all.

        Args:
            arguments: gives JSON of the task's arguments, kept beside the results for people; asked where none lies.
            pick: chooses a fresh version or None; asked once more after the claim, if there is any to choose from.
            forced: made by order, so its stamp has a new order whatever was stored before.

        Raises CacheError if nothing can be written there.
        """
        ...

    def clear(self, place: Place) -> bool:
        """Forget all of `place`: one rename. Whether there was anything. CacheError if that cannot be done."""
        ...

    def clear_all(self, name: str) -> bool:
        """Forget every result of the class `name`: one rename. Whether there was anything."""
        ...

    def retire(self, in_use: Mapping[Place, int]) -> None:
        """Forget older versions: `in_use` says which one stays at each place, besides the newest of the others.

        For a run that ends. Does nothing while another one is at work, and never fails.
        """
        ...

    def accept(self, place: Place, version: Version, code: str) -> None:
        """Declare `version` good also for the code with the digest `code`.

        Raises MissingResult if it was cleared or replaced, CacheError if that cannot be written.
        """
        ...

    def keep_code(self, name: str, digest: str, content: Mapping[str, object]) -> None:
        """Keep what the digest of some code of the class `name` stands for (JSON), once; never fails."""
        ...

    def code(self, name: str, digest: str) -> Mapping[str, Any] | None:
        """What was kept of the code `digest`; None if nothing was, or it cannot be read."""
        ...

    def places(self) -> Iterator[tuple[str, int]]:
        """Name and id of everything that has a folder, in no order. One listing a class."""
        ...
