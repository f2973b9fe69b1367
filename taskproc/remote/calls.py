"""Parameters, results and exceptions as bytes, and how a worker process runs a task that is sent to it like this.

The task manager passes the bytes on and never unpickles them. Imports little: each worker process imports this file.
"""
from __future__ import annotations

import importlib
import pickle
from functools import partial
from typing import Any, cast

from taskproc.attributes import SCALARS
from taskproc.errors import RemoteError, UnsendableItem
from taskproc.pickling import dumps, load, pack_error, unpack_error
from taskproc.remote.requests import CALL
from taskproc.run.problem import sentence, traceback_text

PREFIX = "do_"

Answer = tuple[str, bytes, str]  # "result" | "raised", content, traceback


class TaskFunctions:
    """Runs a task by calling the function `do_<tag>` of a module or, for the tag of calls, the function in the task.

    A tuple of parameters is passed as the arguments of the function, any other value as its only argument.
    """

    def __init__(self, module: str):
        self._module = module

    def __call__(self, task: bytes) -> Answer:
        """Run a pickled (task id, tag, content of the parameters) and return the answer. Raises nothing."""
        # here, and below: masters import this file and do not run tasks
        from taskproc.run.baseline import in_own_context

        task_id, tag, content = cast("tuple[str, str, bytes]", load(task))
        try:
            parameters: Any = unpack(content, f"parameters of task {task_id!r}")
            value = in_own_context(partial(self._run, tag, parameters))
            return "result", pack(value, f"the result of task {task_id!r}"), ""
        except BaseException as error:  # noqa: BLE001  # SystemExit ends this task, not the worker
            return "raised", pack_raised(error), traceback_text(error)

    def _run(self, tag: str, parameters: Any) -> object:
        from taskproc.run.baseline import adopt_imports
        from taskproc.run.far_end import is_far_end, serve_many
        from taskproc.run.usage_meter import work_as

        if tag == CALL:
            work_as(lambda: "remote")
            if is_far_end():
                serve_many()  # when the main process of a run ends, later calls in this process must go on
            function, args, kwargs = parameters
            adopt_imports()
            return function(*args, **kwargs)
        function = getattr(importlib.import_module(self._module), PREFIX + tag)
        adopt_imports()
        return function(*parameters) if type(parameters) is tuple else function(parameters)


def pack(value: object, name: str) -> bytes:
    """`value` as bytes. Functions and classes of `__main__` are sent with their code.

    Args:
        name: the words for the value in messages.

    Raises:
        UnsendableItem: it cannot be pickled.
    """
    if type(value) in SCALARS:
        return pickle.dumps(value, 5)
    try:
        return dumps(value)
    except Exception as error:
        raise UnsendableItem(f"{name} cannot be pickled: {sentence(error)}. Send plain data") from error


def unpack(content: bytes, name: str) -> object:
    """The value that was packed. Raises UnsendableItem if it cannot be unpickled here."""
    try:
        return load(content)
    except Exception as error:
        text = f"{name} cannot be unpickled here: {sentence(error)}. Its modules must be importable on both sides"
        raise UnsendableItem(text) from error


def pack_raised(exception: object) -> bytes:
    """The exception of a task as bytes. Raises nothing."""
    return pack_error(exception if isinstance(exception, BaseException) else RemoteError(str(exception)))


def unpack_raised(content: bytes, traceback: str) -> BaseException:
    """The exception of a task, or a RemoteError in its place, with the traceback as its last cause."""
    return unpack_error(content, traceback) or RemoteError("an exception that cannot be rebuilt here")
