"""Command: an operating-system command as a task, whose words may be futures and whose files are futures."""
from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from taskproc.errors import BuildError, CommandFailed
from taskproc.tasks.future import Future, Item, Upstream
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.naming import brief, cut, nested
from taskproc.tasks.task import Task, TaskType

LONGEST_TEXT = 1 << 16   # bytes of stdout that `CommandResult.text` returns
_VERSION_AFTER = 60.0    # seconds within which a tool must report its version


@dataclass(frozen=True)
class Output:
    """A path in the data directory of the Command that has it as a word: a file or folder that the command must write.

    `Output("model.bin")` stands for `<data directory>/model.bin`. Its folder is created, and the path must exist at the
    end. `Output(".")` is the directory itself.
    """

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)

    def _key_form(self) -> object:
        return {"__output__": self.name}

    _json_form = _key_form


@dataclass(frozen=True)
class DataDirectory:
    """The data directory of another task, as a word of a Command, which runs when that task is done."""

    task: Task

    def _key_form(self) -> object:
        return {"__directory__": self.task._key_form()}

    _json_form = _key_form


# The types of a word; a tuple is one word, made of its parts without a space
Word = Union[str, "os.PathLike[str]", int, float, Output, DataDirectory, Future[Any], "tuple[Any, ...]"]


@dataclass(frozen=True)
class CommandResult:
    """The result of a command.

    As a path, it is its stdout, so a Command may be passed where a file is expected.

    Attributes:
        words: the words that ran, with the results of all futures.
        exit_code: one of the accepted ones.
        seconds: how long it ran, wall time.
        stdout: the file with its output; stderr: the file with its standard error.
        directory: its data directory, which contains all its other files.
    """

    words: tuple[str, ...]
    exit_code: int
    seconds: float
    stdout: Path
    stderr: Path
    directory: Path

    def __getitem__(self, name: str) -> Path:
        """The file `name` in its data directory. Raises KeyError, which lists the files, if it does not exist."""
        path = self.directory / name
        if not path.exists():
            there = ", ".join(sorted(each.name for each in self.directory.iterdir())) or "nothing"
            raise KeyError(f"the command wrote no {name!r}; there is {there}")
        return path

    def __fspath__(self) -> str:
        return str(self.stdout)

    @property
    def text(self) -> str:
        """Its output, as UTF-8. Raises ValueError if that is more than 64 KiB: read the file instead."""
        if (size := self.stdout.stat().st_size) > LONGEST_TEXT:
            raise ValueError(f"the command printed {size:,} bytes: read {str(self.stdout)!r} instead")
        return self.stdout.read_text("utf-8", "replace")


class _CommandType(TaskType):
    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls.__init__ is Command.__init__:  # `["sort", Path("a")]` and `("sort", "a")` are one command
                args = (*map(_words, args[:1]), *args[1:])
                kwargs = {name: _alike(name, value) for name, value in kwargs.items()}
            return super().__call__(*args, **kwargs)


def _brief(cls: type[Command], arguments: Mapping[str, Any], room: int) -> str:
    """Its words, or the arguments of a subclass with another `__init__`."""
    if cls.__init__ is not Command.__init__:
        words = ", ".join(f"{name}={brief(value)}" for name, value in arguments.items())
    else:
        words = " ".join(map(_shown_word, arguments["argv"]))
    return cut(words, room) if room else ""


class Command(Task, metaclass=_CommandType):
    """An operating-system command: `Command(["sort", "-u", InputFile("words.txt")], stdout="sorted.txt")`.

    It runs without a shell, so nothing in a word is split, expanded or quoted. Words count by their text, and a plain
    path only by its name: pass `InputFile(path)` for a file whose content counts.

    It fails, with the end of its standard error, if its exit code is not an accepted one, if a signal kills it, or if
    an output is missing. Interrupting the run ends it and its children: TERM, then KILL. Subclass it for labels, rate
    limits and a `task_timeout`.

    Args:
        argv: the program and its arguments, in order: strings, paths, numbers, `Output`, `DataDirectory`, or futures of
            these (of a Command: its stdout). A tuple is one word: `("--out=", Output("a.bin"))`. A future of a list
            stands for as many words as the list has.
        inputs: further files and folders whose content counts, or tasks that must be done before.
        outputs: names of further files that it must write into its data directory.
        stdout: name of the output that receives its stdout; None: that goes to `task_stdout`.
        stdin: a file to read, whose content counts, or a future of one; None: empty.
        cwd: working directory; None: that of the process that runs it. `Output(".")`: its data directory.
        env: environment variables to set for it, in addition to those of that process.
        version: a command that prints the version of the tool, such as `["gcc", "--version"]`. It runs when the task is
            built, once in a `with Cache(...)` block; if it prints another text, stored results are stale.
        exit_codes: the accepted exit codes.
        timeout: seconds after which it is ended and has failed. It is not part of the key, and is supported in threads,
            too.

    Raises (when it is built):
        BuildError: a word or a name is wrong, or the version is unknown.
    """

    task_pinned_name = "taskproc.Command"
    task_ignored_args = ("timeout",)

    _taskproc_brief = staticmethod(_brief)

    def __init__(
        self,
        argv: Sequence[Word],
        *,
        inputs: Sequence[str | os.PathLike[str] | Future[Any]] = (),
        outputs: Sequence[str] = (),
        stdout: str | None = None,
        stdin: str | os.PathLike[str] | Future[Any] | None = None,
        cwd: Word | None = None,
        env: Mapping[str, Word] | None = None,
        version: Sequence[str] | None = None,
        exit_codes: Collection[int] = (0,),
        timeout: float | None = None,
    ):
        self.argv = _words(argv)
        self.inputs: tuple[Any, ...] = _alike("inputs", inputs)
        self.outputs, self.stdout = _alike("outputs", outputs), stdout
        for name in (*self.outputs, *([] if stdout is None else [stdout])):
            _check_name(name)
        self.stdin, self.cwd, self.env = _alike("stdin", stdin), _alike("cwd", cwd), _alike("env", env) or {}
        self.exit_codes, self.timeout = _alike("exit_codes", exit_codes), timeout
        if version is not None:
            self.tool_version = _Version(tuple(version)).text  # not an argument, so it counts as a setting

    def output(self, name: str) -> Future[Path]:
        """A future of the file `name` in its data directory, which it writes."""
        _check_name(name)
        future: Any = Item(self, name)
        return future  # type: ignore[no-any-return]

    def run_task(self) -> CommandResult:
        """Run it here."""
        from taskproc.run.command_runner import CommandJob, Exited  # here: 3 ms, and not needed to build tasks
        from taskproc.run.problem import rebuild

        directory, stderr = self.task_directory, self.task_stderr
        stdout = self.task_stdout if self.stdout is None else self._place(self.stdout)
        words = tuple(word for each in self.argv for word in self._texts(each))
        env = {name: self._text(value) for name, value in self.env.items()}
        job = CommandJob(
            words, stdout, stderr,
            stdin=None if self.stdin is None else Path(self._text(self.stdin)),
            folder=None if self.cwd is None else Path(self._text(self.cwd)),
            environ={**os.environ, **env} if env else None,
            timeout=self.timeout,
            codes=self.exit_codes,
        )
        outcome = job()
        if not isinstance(outcome, Exited):
            error = rebuild(outcome.problem)
            if isinstance(error, CommandFailed):
                error.exit_code = outcome.problem.exit_code
            raise error
        self._check_outputs(words)
        return CommandResult(words, outcome.code, outcome.seconds, stdout, stderr, directory)

    def _place(self, name: str) -> Path:
        """The path of an output, whose folder is created."""
        path = self.task_directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _text(self, word: Any) -> str:
        texts = self._texts(word)
        if len(texts) != 1:
            raise TypeError(f"{brief(word)} gave {len(texts)} words where one is needed")
        return texts[0]

    def _texts(self, word: Any) -> list[str]:
        """The words that a word stands for: one, except for futures of lists."""
        if isinstance(word, tuple):
            return ["".join(map(self._text, word))]
        if isinstance(word, Output):
            return [str(self._place(word.name))]
        if isinstance(word, DataDirectory):
            return [str(word.task.task_directory)]
        if not isinstance(word, Upstream):
            return [_word_text(word)]
        value: Any = word.get_result()  # type: ignore[attr-defined]  # every subclass has it
        try:
            return [_word_text(each) for each in value] if isinstance(value, (list, tuple)) else [_word_text(value)]
        except TypeError as error:
            raise TypeError(f"the result of {brief(word)} is {error}") from None

    def _check_outputs(self, words: Sequence[str]) -> None:
        from taskproc.run.command_runner import shown

        named = [each.name for word in (*self.argv, *self.env.values()) for each in _outputs_in(word)]
        missing = [name for name in (*named, *self.outputs) if not (self.task_directory / name).exists()]
        if missing:
            raise CommandFailed(f"command {shown(words)} succeeded, but did not write its output {missing[0]!r}")


class _Version(Task):
    """The version that a tool prints. Never runs: it exists so that each tool is called once in a block of a cache."""

    task_pinned_name = "taskproc.Command.version"

    def __init__(self, argv: tuple[str, ...]):
        import subprocess

        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=_VERSION_AFTER, check=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise BuildError(f"the version of a tool could not be determined: {error}") from error
        self.text = done.stdout.decode("utf-8", "replace")

    def run_task(self) -> str:
        """Not called."""
        return self.text


def _words(given: object) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or isinstance(given, Upstream):
        raise BuildError(f"argv of Command must be a list of words, got {brief(given)}: no shell splits it")
    if not given:
        raise BuildError("argv of Command is empty: its first word is the program")
    return tuple(_word(each, f"word {number} of argv") for number, each in enumerate(given))


def _alike(name: str, value: Any) -> Any:
    """An argument of Command as it is stored and counts: one form for all equal ones."""
    if value is None:
        return None
    if name == "argv":
        return _words(value)
    if name == "inputs":
        return tuple(map(_file, value))
    if name == "stdin":
        return _file(value)
    if name == "cwd":
        return _word(value, "cwd")
    if name == "env":
        return {key: _word(word, f"env {key!r}") for key, word in value.items()}
    return tuple(value) if name in ("outputs", "version", "exit_codes") else value


def _word(given: Any, where: str) -> Any:
    """A word as it is stored: paths and numbers as text, so that equal commands are one task."""
    if isinstance(given, (Output, DataDirectory, Upstream)):
        return given
    if isinstance(given, tuple):
        return tuple(_word(each, where) for each in given)
    try:
        return _word_text(given)
    except TypeError as error:
        raise BuildError(f"{where} of Command is {error}") from None


def _shown_word(word: object) -> str:
    if isinstance(word, tuple):
        return "".join(map(_shown_word, word))
    return shlex.quote(word) if isinstance(word, str) else nested(word)


def _word_text(value: object) -> str:
    """A plain word as text. Raises TypeError, which says what it is instead."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value)
    if not isinstance(value, str):
        raise TypeError(f"{brief(value)} ({type(value).__name__}), which is not a string, path or number")
    if "\0" in value:
        raise TypeError(f"{value!r}, which contains NUL: no command accepts that")
    return value


def _file(given: Any) -> Any:
    if isinstance(given, (Upstream, Output)):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise BuildError(f"an input of Command must be a path or a future, got {brief(given)}")
    return InputFile(given)


def _check_name(name: object) -> None:
    parts = Path(name).parts if isinstance(name, str) else ("..",)
    if not name or ".." in parts or Path(str(name)).is_absolute():
        raise BuildError(f"an output must be named by a relative path that stays in its folder, got {name!r}")


def _outputs_in(word: object) -> list[Output]:
    if isinstance(word, tuple):
        return [output for part in word for output in _outputs_in(part)]
    return [word] if isinstance(word, Output) else []
