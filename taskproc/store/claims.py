"""Claims in a shared folder: which process computes a key now. One wins, and others take over from the dead.

The claim *is* the file that becomes the result: `claim.<n>`, created with O_EXCL, filled, renamed to
`result.<n>.pkl.gz`. A number is used once and never again while it is the highest, so it is a fencing token (Kleppmann
2016): the owner of n + 1 unlinks claim n, and its holder finds nothing to rename. A holder works through the descriptor
of the directory, so a clear in between takes its work along into the trash instead of mixing it with another task's.
"""
from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Union

from taskproc.errors import CacheError, LinkInCache
from taskproc.kernel.model import Elsewhere, Record, Stamp
from taskproc.kernel.rebuild import order_of
from taskproc.store import layout
from taskproc.store.files import Files, Folder
from taskproc.store.folder import CacheFolder
from taskproc.store.layout import Place
from taskproc.store.members import comment_member, footer_member, text_member
from taskproc.store.payload import Payload, write_value
from taskproc.store.trash import move_to_trash
from taskproc.store.version import TINY_PAYLOAD, Facts, Pick, Version, about_result, claim_head, read_head, record_text

EMPTY_CLAIM = 1.0    # seconds after which a claim without a head counts as dead
_TRIES = 100
_LISTINGS = 10  # that may be older than our claim


class DiskAttempt:
    """The right to publish one version: a claim that this process holds. It has two open descriptors until it ends.

    For one thread at a time.

    Attributes:
        size: after a commit, the bytes of the version with its data directory.
    """

    __slots__ = (
        "_captured", "_data", "_directory", "_early", "_ended", "_files", "_folder", "_handle", "_head", "_identity",
        "_path", "_place", "_store", "nonce", "number", "size",
    )  # fmt: skip

    def __init__(
        self, store: CacheFolder, place: Place, path: str, number: int, folder: Folder, handle: int, nonce: str
    ):
        self.number, self.nonce = number, nonce
        self._store, self._files, self._place, self._path = store, store.files, place, path
        self._folder, self._handle = folder, handle
        self._identity: tuple[int, int] | None = None
        self._ended = False
        self._head = claim_head(store.token, place, number, nonce)
        self._directory: Path | None = None
        self._data: int | None = 0
        self.size = 0
        self._captured, self._early = True, list[str]()  # logs that exist already, since their path was asked for

    @property
    def directory(self) -> Path:
        """The data directory of this attempt: created empty when it is first used."""
        if self._directory is None:
            name = layout.data_folder(self.number)
            path = Path(self._path, name)
            try:
                # By path, not by descriptor: the task reaches it by its path, also after a clear
                self._files.close_folder(self._store.made_folder(*layout.place_levels(self._place), name))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            self._directory = path
        return self._directory

    def log(self, stream: str) -> Path:
        """The path of a log: stdout, stderr, stdout_caller or stderr_caller. The file is not created."""
        return Path(self._path, layout.log_file(stream, self.number))

    def logs(self) -> tuple[str, str]:
        """The paths of stdout and stderr, in less time than by `log`."""
        start = self._path + os.sep
        return start + layout.log_file("stdout", self.number), start + layout.log_file("stderr", self.number)

    def has_no_logs(self) -> None:
        """Note that the output is not captured, and remove empty logs; the task may still write them itself."""
        self._captured = False
        for name in self._early:
            try:
                if not self._files.tail(self._folder, name, 0)[1]:
                    self._files.unlink(self._folder, name)
            except OSError:
                pass  # it was removed

    @property
    def folder(self) -> int | None:
        """The descriptor of the folder of the logs, open while the attempt is; None where the system has none."""
        return self._folder if isinstance(self._folder, int) else None

    def start(self, names: list[str]) -> None:
        """Move files that were written into the data directory before the run, and links named like logs, to the trash.

        `names` is the listing of the folder.
        """
        logs = [layout.log_file(stream, self.number) for stream in layout.STREAMS]
        self._early = [log for log in logs if log in names]
        planted = [log for log in self._early if self._files.kind(self._folder, log) == "link"]
        if planted:
            move_to_trash(self._store, self._folder, *planted)
        name = layout.data_folder(self.number)
        if name in names:
            if self._store.is_filled(self._folder, name):
                move_to_trash(self._store, self._folder, name)
            else:
                self._directory = Path(self._path, name)

    def sign(self) -> None:
        """Write the head, and make it visible to other hosts: without it a claim soon counts as dead."""
        self._files.append(self._handle, self._head)
        self._files.close(os.dup(self._handle))  # NFS sends it when a descriptor of the file is closed

    def commit(self, value: object, facts: Facts) -> Version | None:
        """Publish `value` in one atomic step. None: the attempt was taken over or cleared, and nothing is published.

        Raises UnstorableResult if the value cannot be pickled, OSError if it cannot be written. Then nothing is
        visible, and the attempt may still `fail`.
        """
        payload = write_value(value, partial(self._files.append, self._handle), facts.level, self._store.root)
        value_half = self._value_half(value, payload, facts)
        stamp = Stamp(order_of(self.nonce, facts.needs), value_half)
        version = Version(
            place=self._place,
            path=f"{self._path}{os.sep}{layout.result_file(self.number)}",
            record=Record(
                self.number, self.nonce, stamp, facts.code, facts.needs, facts.settings, observed=facts.observed
            ),
            head=len(self._head),
            head_digest=sha256(self._head).hexdigest(),
            size=len(self._head) + payload.size,
            digest=payload.digest,
            about=about_result(facts, captured=self._captured, data=self._data),
            payload=payload.rest if payload.size == len(payload.rest) <= TINY_PAYLOAD else b"",
        )
        record = text_member(record_text(version))
        footer = footer_member(record, self._store.key)
        self._files.append(self._handle, payload.rest, record, footer)
        self.size = version.size + len(record) + len(footer) + (self._data or 0)
        if self._store.rules.flushes(facts.seconds):
            self._files.sync(self._handle)
        return version if self._rename(layout.result_file(self.number)) else None

    def _value_half(self, value: object, payload: Payload, facts: Facts) -> str:
        """The value half of the stamp. Files in the data directory belong to the value, and are listed beside it."""
        home = "" if self._directory is None else str(self._directory)
        files = self._write_manifest(home, facts) if home else ""
        root, former = self._store.root, self._former
        return facts.value(value, payload.value, payload.met, files=files, root=root, home=home, former=former)

    def _write_manifest(self, home: str, facts: Facts) -> str | None:
        """List the files in the data directory `home`. Returns the digest of the list, None if it cannot be made."""
        # here: 1 ms, for attempts with a data directory
        from taskproc.store.contents import folder_bytes, manifest_of

        data = layout.data_folder(self.number)
        manifest = manifest_of(self._files, self._folder, data, home)
        self._data = folder_bytes(self._files, self._folder, data) if manifest is None else manifest.size
        if manifest is not None and manifest.text:
            name, flush = layout.manifest_file(self.number), self._store.rules.flushes(facts.seconds)
            self._store.put(self._folder, name, manifest.text.encode("ascii"), flush=flush)
        return None if manifest is None else manifest.digest

    def _former(self) -> str:
        """The value half of the stamp of the previous version; empty if there is none."""
        if self.number == 1:
            return ""
        names = self._files.list_anew(self._folder)
        version = next(self._store.versions(self._folder, self._place, names), None)
        return "" if version is None else version.record.stamp.value

    def fail(self, why: Mapping[str, object]) -> None:
        """End without a version; `why` (JSON) is stored for people."""
        if self._handle >= 0:
            try:
                self._files.cut(self._handle, len(self._head))  # an incomplete payload is useless
                self._files.append(self._handle, comment_member(why if self._captured else {**why, "captured": False}))
            except OSError:
                pass  # the disk is full: the rename needs no space, and the name says enough
        self.not_needed()

    def not_needed(self) -> None:
        """End without a version and without a reason. Does nothing if the attempt has ended."""
        if not self._ended:
            try:
                self._rename(layout.failed_file(self.number))
            except OSError:
                self.release()  # it stays a claim of a run that ends, and the owner of the next number removes it

    def drop(self) -> None:
        """Remove the claim, since a higher number exists. Does nothing if the attempt has ended."""
        if self._ended:
            return
        try:
            self._files.unlink(self._folder, layout.claim_file(self.number))
        finally:
            self.release()

    def release(self) -> None:
        """Close the descriptors, and leave the claim for another process to resume. Idempotent."""
        if self._ended:
            return
        self._ended = True
        try:
            if self._handle >= 0:
                self._close()
        except OSError:
            pass  # no loss: a file is closed, and the error checked, before it is published
        self._files.close_folder(self._folder)

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        self._files.close(handle)

    def _rename(self, name: str) -> bool:
        """Rename the claim, which ends the attempt. False: the claim was not ours any more. OSError: it still is."""
        if self._handle >= 0:
            self._identity = self._files.identity(self._handle)
            self._close()
        try:
            self._files.rename(self._folder, layout.claim_file(self.number), name)
        except FileNotFoundError:
            mine = self._was_renamed(name)
        except FileExistsError:
            mine = False
            self._withdraw()
        else:
            if self._store.rules.durability == "full":
                self._sync_folder()
            mine = self._is_there(name)
        self.release()
        return mine

    def _withdraw(self) -> None:
        """Remove the claim if it still is ours: its number had been used before."""
        try:
            if self._files.identity_of(self._folder, layout.claim_file(self.number)) == self._identity:
                self._files.unlink(self._folder, layout.claim_file(self.number))
        except OSError:
            pass  # it was removed; or it stays, and the owner of the next number removes it

    def _sync_folder(self) -> None:
        try:
            self._files.sync_folder(self._folder)
        except OSError:
            pass  # it is published: a power failure may cost the result, but cannot make it wrong

    def _is_there(self, name: str) -> bool:
        # By path, not by descriptor: after a clear the file is in the trash, where nobody finds it
        try:
            return self._files.identity_of(self._path, name) == self._identity
        except OSError:
            return self._was_renamed(name)

    def _was_renamed(self, name: str) -> bool:
        # A network folder may rename and lose the reply, so the head in the file decides
        try:
            with self._store.held(*layout.place_levels(self._place)) as folder:
                handle = self._files.read_only(folder, name)
            try:
                return self._files.read(handle, len(self._head), 0) == self._head
            finally:
                self._files.close(handle)
        except (OSError, LinkInCache):
            return False


Claimed = Union[DiskAttempt, Version, Elsewhere]


def claim(store: CacheFolder, place: Place, arguments: Callable[[], str], pick: Pick, *, forced: bool) -> Claimed:
    """The right to make the next version of `place`; see DiskStore.claim."""
    try:
        for _ in range(_TRIES):
            try:
                claimed = _try_claim(store, place, arguments, pick, forced)
            except FileNotFoundError:
                continue  # cleared in between, or removed by hand
            if claimed is not None:
                return claimed
    except OSError as error:
        raise CacheError(f"cannot write to cache {store.root!r}: {error}") from error
    return Elsewhere()


def _try_claim(
    store: CacheFolder, place: Place, arguments: Callable[[], str], pick: Pick, forced: bool
) -> Claimed | None:
    """One try; None if something has changed in the meantime and it must be tried again."""
    path = layout.place_path(store.root, place)
    is_new, folder = store.made_place(*layout.place_levels(place))
    made: DiskAttempt | None = None
    try:
        # A new folder is empty. Another process may have cleared it, and created it again, before we opened it. Then
        # this listing is an early one: the second look, or O_EXCL, shows the other number
        names = [] if is_new else store.files.listdir(folder)
        begun = _next(store, place, folder, names, forced) if names else (1, "")
        if begun is None:
            return Elsewhere()
        number, nonce = begun
        if number == 1 or layout.ARGUMENTS not in names:
            # Before number 1 it may be torn by a process that died; it is for people, and decides nothing
            store.files.write_text(folder, layout.ARGUMENTS, arguments())
        try:
            handle = store.files.make(folder, layout.claim_file(number))
        except FileExistsError:
            return Elsewhere(after=0.0)
        attempt = made = DiskAttempt(store, place, path, number, folder, handle, nonce or os.urandom(16).hex())
    finally:
        if made is None:  # else the attempt closes the folder
            store.files.close_folder(folder)
    return _signed(store, place, attempt, folder, pick)


def _next(store: CacheFolder, place: Place, folder: Folder, names: list[str], forced: bool) -> tuple[int, str] | None:
    """The next number after those in `names`, and the nonce that it inherits; None: a living run has a claim."""
    taken = layout.numbers(names)
    last = layout.highest_number(taken)
    if last in taken["claim"] and is_held(store, folder, last):
        return None
    version = next(store.versions(folder, place, names), None) if taken["result"] and not forced else None
    return last + 1, "" if version is None else version.record.nonce


def _signed(store: CacheFolder, place: Place, attempt: DiskAttempt, folder: Folder, pick: Pick) -> Claimed | None:
    """Sign the claim and look again. Returns what the second look decides."""
    try:
        attempt.sign()
        won = _second_look(store, place, attempt, folder, pick)
    except BaseException:
        attempt.not_needed()
        raise
    if won is None:
        attempt.drop()
    elif won is not attempt:
        attempt.not_needed()
    return won


def _second_look(store: CacheFolder, place: Place, attempt: DiskAttempt, folder: Folder, pick: Pick) -> Claimed | None:
    """Look again after the claim, for another host may have published in between. The protocol depends on this look.

    A network client may add its own new names to an old listing, so the decisive names are also asked for one by one.
    """
    number, claim = attempt.number, layout.claim_file(attempt.number)
    if any(store.files.has(folder, name) for name in (layout.result_file(number), layout.failed_file(number))):
        return None
    for _ in range(_LISTINGS):
        names = store.files.list_anew(folder)
        if claim in names:
            break
        if not store.files.has(folder, claim):
            attempt.release()  # another process has removed it, alone or with its folder
            return None
    else:
        return Elsewhere()  # all listings are older than the claim
    if len(names) == 2 and layout.ARGUMENTS in names:
        return attempt  # no other attempt has been here
    kinds = layout.numbers(names)
    if any(n >= number and (kind, n) != ("claim", number) for kind, used in kinds.items() for n in used):
        return None
    older = kinds["claim"][1:]
    if older:
        names = _fence(store.files, folder, older)
    if (kinds["result"] or older) and (version := pick(store.versions(folder, place, names))) is not None:
        return version
    attempt.start(names)
    return attempt


def _fence(files: Files, folder: Folder, older: list[int]) -> list[str]:
    """Remove claims, so that their holders cannot publish. Returns the names there are, and the removed claims."""
    for number in older:
        try:
            files.unlink(folder, layout.claim_file(number))
        except IsADirectoryError:
            pass  # a directory has no holder
    # Each may have become a version before it was removed, so its number is looked up even if it is not listed
    return [*files.list_anew(folder), *map(layout.claim_file, older)]


def is_held(store: CacheFolder, folder: Folder, number: int) -> bool:
    """Whether the claim `number` belongs to another run that lives.

    A claim of our own run belongs to a dead worker, since this process has the ticket now.
    """
    try:
        handle = store.files.read_only(folder, layout.claim_file(number))
    except FileNotFoundError:
        # Its attempt has ended. With a version: look again; without: the next number is free
        return not store.files.has(folder, layout.failed_file(number))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ELOOP):
            return False  # not a regular file, so not a claim
        raise
    try:
        start = store.files.read(handle, 4096, 0)
        made = (*store.files.identity(handle), store.files.modified(handle))
    finally:
        store.files.close(handle)
    token = str(read_head(start).get("token", ""))
    if not token:
        # Its maker is between two operations, or died there. Our own clock measures for how long: the time of the file
        # is by another clock, and the head may be written between a look at the file and one at its time
        return store.witness.unchanged(f"claim {made}", start) < EMPTY_CLAIM
    return token != store.token and store.witness.lives(token)


def resume(store: CacheFolder, place: Place, number: int) -> DiskAttempt | None:
    """Continue an attempt that this run has claimed in another process; None as for `reopen`."""
    attempt = reopen(store, place, number)
    if attempt is not None:
        attempt.start(store.files.listdir(attempt._folder))
    return attempt


def reopen(store: CacheFolder, place: Place, number: int) -> DiskAttempt | None:
    """The attempt of this run that has claim `number`; None if the claim is missing or of another run."""
    files, path = store.files, layout.place_path(store.root, place)
    try:
        folder = store.folder(*layout.place_levels(place))
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        handle = files.open_to_append(folder, layout.claim_file(number))
    except OSError:
        files.close_folder(folder)
        return None
    nonce = read_head(files.read(handle, 4096, 0)).get("nonce")
    attempt = DiskAttempt(store, place, path, number, folder, handle, str(nonce))
    head = claim_head(store.token, place, number, str(nonce))
    if files.read(handle, len(head) + 1, 0) != head:
        attempt.release()
        return None
    return attempt
