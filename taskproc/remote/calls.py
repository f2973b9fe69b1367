"""How a worker process of the task manager runs a task. Imports little, because each worker process imports it."""
from __future__ import annotations

import importlib
from functools import partial
from typing import Any, cast

from taskproc.pickling import load
from taskproc.remote.content import pack, pack_raised, unpack
from taskproc.remote.requests import CALL
from taskproc.run.baseline import adopt_imports
from taskproc.run.context import in_own_context
from taskproc.run.lifeline import serve_many
from taskproc.run.problem import traceback_text
from taskproc.run.setup import is_far_end
from taskproc.run.usage_meter import work_as

PREFIX = "do_"

Answer = tuple[str, bytes, str]  # "result" | "raised", content, traceback


class TaskFunctions:
    """Runs a task by calling the function `do_<tag>` of a module; or, for the tag of calls, the function it was sent.

    A tuple of parameters is passed as the arguments of the function, anything else as its only one.
    """

    def __init__(self, module: str):
        self._module = module

    def __call__(self, own: bytes) -> Answer:
        """The answer to a pickled (task id, tag, content of the parameters). Raises nothing."""
        task_id, tag, content = cast("tuple[str, str, bytes]", load(own))
        try:
            parameters: Any = unpack(content, f"parameters of task {task_id!r}")
            value = in_own_context(partial(self._run, tag, parameters))
            return "result", pack(value, f"the result of task {task_id!r}"), ""
        except BaseException as error:  # noqa: BLE001  # SystemExit ends this task, not the worker
            return "raised", pack_raised(error), traceback_text(error)

    def _run(self, tag: str, parameters: Any) -> object:
        if tag == CALL:
            work_as(lambda: "remote")
            if is_far_end():
                serve_many()  # if the main process of a run ends, the next calls in this process must not end with it
            function, args, kwargs = parameters
            adopt_imports()
            return function(*args, **kwargs)
        function = getattr(importlib.import_module(self._module), PREFIX + tag)
        adopt_imports()
        return function(*parameters) if type(parameters) is tuple else function(parameters)
