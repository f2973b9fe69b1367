"""What a worker process does with a task. Imports little, for each worker process imports it."""
from __future__ import annotations

import importlib
from functools import partial
from typing import Any, cast

from taskproc.pickling import load
from taskproc.remote.nouns import CALL
from taskproc.remote.payload import pack, pack_raised, unpack
from taskproc.run.baseline import adopt_imports
from taskproc.run.context import in_own_context
from taskproc.run.lifeline import serve_many
from taskproc.run.problem import traceback_text
from taskproc.run.setup import is_far_end

PREFIX = "do_"

Told = tuple[str, bytes, str]  # "result" | "raised", content, traceback


class Doing:
    """The far end: called with a task, it calls the function `do_<tag>` of a module; or what came, for calls.

    A tuple as parameters is the arguments of the function, anything else its only one.
    """

    def __init__(self, module: str):
        self._module = module

    def __call__(self, own: bytes) -> Told:
        """What came of a pickled (task id, tag, content of the parameters); raises nothing."""
        task_id, tag, content = cast("tuple[str, str, bytes]", load(own))
        try:
            parameters: Any = unpack(content, f"parameters of task {task_id!r}")
            value = in_own_context(partial(self._done, tag, parameters))
            return "result", pack(value, f"the result of task {task_id!r}"), ""
        except BaseException as error:  # noqa: BLE001  # SystemExit is how this task ended, not the worker
            return "raised", pack_raised(error), traceback_text(error)

    def _done(self, tag: str, parameters: Any) -> object:
        if tag == CALL:
            if is_far_end():
                serve_many()  # a run whose main process ends must not take with it what others do here next
            function, args, kwargs = parameters
            adopt_imports()
            return function(*args, **kwargs)
        function = getattr(importlib.import_module(self._module), PREFIX + tag)
        adopt_imports()
        return function(*parameters) if type(parameters) is tuple else function(parameters)
