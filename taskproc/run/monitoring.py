"""Which code of the user's starts while somebody listens: sys.monitoring, from Python 3.12 on.

Two tools. The first sees each code object of the process start once and never again, which costs a third of a
microsecond; of the user's it keeps a list. The second listens to those alone, and only to those that whoever listens
does not know: it is switched off by the first start, and on again for the next listener. `restart_events` would do with
one tool, but it wakes all code of the process, ours too: more than a tiny task takes.
"""
from __future__ import annotations

import dis
import os
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple

NO_MONITORING = "code, which is seen from Python 3.12 on"
_IDS = (3, 4, 2, 5)  # those without a name in the documentation first: a profiler or an optimizer may come
_FROZEN = "<frozen "
_IMPORTER = "import_module"
_monitoring: Any = getattr(sys, "monitoring", None)


class Started(NamedTuple):
    """Code that started.

    Attributes:
        module: the `__name__` of its globals.
        is_named: of the body of a module: whether a statement of the user's imported it, which names it.
    """

    code: CodeType
    module: str
    is_named: bool = False


class Known:
    """Code that need not be reported; asked once about each.

    Args:
        covers: whether it need not.

    Attributes:
        ids: of code objects that need not, which `Starts` keeps.
        others: ids of those that must be reported, among the first `count` that started in the process.
    """

    __slots__ = ("_asked", "count", "covers", "ids", "others")

    def __init__(self, covers: Callable[[Started], bool]):
        self.covers = covers
        self.ids: set[int] = set()
        self.others: list[int] = []
        self.count = 0
        self._asked: set[int] = set()

    def has(self, number: int, started: Started) -> bool:
        """Whether this code, with the id `number`, is known."""
        if number not in self._asked:
            try:
                if self.covers(started):
                    self.ids.add(number)
            except Exception:  # noqa: BLE001  # whatever is wrong with it, it is reported, and the task goes on
                return False
            self._asked.add(number)
        return number in self.ids


class Starts:
    """The two tools of this process.

    Args:
        is_users: whether code of a file is the user's.
        note: receives what started, and a module that was asked for by name.

    Attributes:
        refusal: why nothing can be seen; empty if it can.
    """

    def __init__(self, is_users: Callable[[str], bool], note: Callable[[int, Started], None],
                 note_module: Callable[[str], None]):  # fmt: skip
        self._is_users, self._note, self._note_module = is_users, note, note_module
        self._users: dict[int, Started] = {}
        self._off: set[int] = set()  # those the second tool does not listen to
        self._lock = threading.Lock()
        self.refusal = self._begin()

    def _begin(self) -> str:
        if _monitoring is None:
            return NO_MONITORING
        free = [number for number in _IDS if _monitoring.get_tool(number) is None]
        if len(free) < 2:
            return "code, since a debugger or profiler has taken the tools of sys.monitoring"
        self._first, self._second = free[:2]
        start = self._start = _monitoring.events.PY_START
        # Kept: while an interpreter ends, the names of this module are gone
        self._disable, self._is_ending = _monitoring.DISABLE, sys.is_finalizing
        for number, callback in ((self._first, self._at_first), (self._second, self._again)):
            _monitoring.use_tool_id(number, "taskproc")
            _monitoring.register_callback(number, start, callback)
        _monitoring.set_events(self._first, start)
        return ""

    def listen(self, known: Known) -> None:
        """Tell from now on, once more, of what starts and is not `known`."""
        # Not all code for each task: a process may have started thousands of functions
        if known.count < len(self._users):
            self._sort(known)
        if known.others:
            with self._lock:
                for number in known.others:
                    if number in self._off and number not in known.ids:
                        self._switch_on(number)

    def _sort(self, known: Known) -> None:
        """Ask of the code that started since the last time whether it is `known`."""
        with self._lock:
            new = list(self._users)[known.count :]
            known.others += [number for number in new if not known.has(number, self._users[number])]
            known.count += len(new)

    def _switch_on(self, number: int) -> None:
        self._off.discard(number)
        code = self._users[number].code
        _monitoring.set_local_events(self._second, code, 0)
        _monitoring.set_local_events(self._second, code, self._start)

    def _at_first(self, code: CodeType, offset: int) -> object:
        path = code.co_filename
        if self._is_ending():
            return self._disable
        if code.co_name == _IMPORTER and path.endswith(os.path.join("importlib", "__init__.py")):
            _monitoring.set_local_events(self._second, code, self._start)
            self._ask_for_module(sys._getframe(1))
        elif not path.startswith("<") and self._is_users(path):
            frame = sys._getframe(1)
            started = Started(code, str(frame.f_globals.get("__name__")), _is_named(frame))
            self._users[id(code)] = started  # which keeps it, so no other gets its id
            self._off.add(id(code))
            self._note(id(code), started)
        return self._disable

    def _again(self, code: CodeType, offset: int) -> object:
        started = self._users.get(id(code))
        if started is None:  # import_module, of which each call counts
            self._ask_for_module(sys._getframe(1))
            return None
        self._off.add(id(code))
        self._note(id(code), started)
        return self._disable

    def _ask_for_module(self, frame: FrameType) -> None:
        names = frame.f_locals
        name, package = names.get("name"), names.get("package")
        if type(name) is not str:
            return
        if name.startswith(".") and isinstance(package, str):
            level = len(name) - len(name.lstrip("."))
            above = package.split(".")
            name = ".".join([*above[: len(above) - level + 1], name.lstrip(".")]).rstrip(".")
        self._note_module(name)


def _is_named(frame: FrameType) -> bool:
    """Whether the body of a module runs for an import statement, and not for a call that computes the name."""
    if frame.f_code.co_name != "<module>":
        return False
    around = frame.f_back
    while around is not None and around.f_code.co_filename.startswith(_FROZEN):
        around = around.f_back
    if around is None:
        return False
    return dis.opname[around.f_code.co_code[around.f_lasti]] == "IMPORT_NAME"
