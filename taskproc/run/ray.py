"""Ray as an executor: each call is a Ray task. Ray is imported, and started or connected to, by the first executor."""
from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from typing import Any, ParamSpec, TypeVar

from taskproc.errors import OptionError, WorkerDied
from taskproc.pickling import dumps, load
from taskproc.run.group import GRACE
from taskproc.run.pool import FarFuture
from taskproc.run.problem import sentence

P = ParamSpec("P")
R = TypeVar("R")


class RayExecutor(Executor):
    """Runs each call as a task of Ray.

    On the cluster that this process is connected to, or that `RAY_ADDRESS` or `ray start` has made known; else on a
    local Ray that is started, and stays until `ray.shutdown()` or the end of the program, as with Ray itself.
    taskproc must be importable on all nodes. A call is not tried again by itself: `max_retries` says otherwise.

    Args:
        n_cores: processors that the calls may have together; None: all of the cluster.
        n_cores_worker: processors for each call, `num_cpus` of Ray.
        options: others for each call, such as `num_gpus` or `max_retries`.

    Attributes:
        repeats: whether a call is tried again when its process has died.

    Raises:
        ImportError: Ray is not installed.
    """

    def __init__(self, n_cores: int | None = None, n_cores_worker: int = 1, options: Mapping[str, Any] | None = None):
        options = dict(options or {})
        if "num_cpus" in options:
            raise OptionError("num_cpus is not for the options of Ray: say n_cores_worker instead")
        self._ray = connected(n_cores)
        total = cluster_cpus(self._ray)
        self.repeats = options.get("max_retries", 0) != 0
        self._max_workers = max(1, (n_cores or total) // n_cores_worker)
        self._remote = self._ray.remote(_call).options(**{"num_cpus": n_cores_worker, "max_retries": 0, **options})
        self._running: dict[Future[Any], Any] = {}
        self._lock = threading.RLock()  # callbacks of futures may submit
        self._closed = False

    @property
    def futures(self) -> list[Any]:
        """The references of Ray to what runs, or waits for a processor."""
        with self._lock:
            return list(self._running.values())

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start a task. To cancel its future withdraws it, or ends it: Ray does not say whether it has begun.

        What runs is interrupted, and its process killed if it goes on after the grace.
        """
        content = dumps((fn, args, kwargs))
        future: FarFuture[R] = FarFuture(self._cancel)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            reference = self._running[future] = self._remote.remote(sys.path, content)
        reference.future().add_done_callback(lambda done: self._end(future, done))
        return future

    def _cancel(self, future: FarFuture[Any]) -> bool:
        """The future is done at once, whenever Ray is."""
        with self._lock:
            given_up = future.give_up()
            reference = self._running.get(future)
        if given_up and reference is not None:
            self._ray.cancel(reference)
            self._kill_later(future)  # a call in C, or of sleep, does not hear of it
        return future.cancelled()

    def _kill_later(self, future: Future[Any]) -> None:
        """Again until it is gone: Ray loses a request that meets a call between its place in the line and its start."""
        timer = threading.Timer(GRACE, self._kill, (future,))
        timer.daemon = True
        timer.start()

    def _kill(self, future: Future[Any]) -> None:
        with self._lock:
            reference = self._running.get(future)
        if reference is not None and self._ray.is_initialized():
            self._ray.cancel(reference, force=True)
            self._kill_later(future)

    def _end(self, future: Future[Any], done: Future[Any]) -> None:
        """In a thread of Ray."""
        with self._lock:
            self._running.pop(future, None)
            if future.cancelled() or not future.set_running_or_notify_cancel():
                return
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(self._user_error(error))

    def _user_error(self, error: BaseException) -> BaseException:
        """What the call raised, not what Ray makes of it; a death as one of ours."""
        known = self._ray.exceptions
        if isinstance(error, (known.WorkerCrashedError, known.NodeDiedError, known.OutOfMemoryError)):
            died = WorkerDied(f"its Ray worker died: {sentence(error)}")
            died.__cause__ = error
            return died
        cause = getattr(error, "cause", None)
        return cause if isinstance(error, known.RayTaskError) and isinstance(cause, BaseException) else error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Ray itself stays."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        if cancel_futures:
            for future in running:
                future.cancel()
        if wait:
            _wait(running)


_wait = wait


def connected(n_cores: int | None = None) -> Any:
    """The module `ray`, connected to a cluster or to a local Ray that was started, with so many processors.

    Raises ImportError if it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("Ray is not installed: pip install 'taskproc[ray]'. Without it there are worker processes of "
                          "taskproc's own, executor='processes'") from error
    if not ray.is_initialized():
        try:
            ray.init(num_cpus=n_cores, include_dashboard=False)
        except ValueError:
            ray.init()  # a cluster that was found takes no number of processors
    return ray


def cluster_cpus(ray: Any) -> int:
    """Processors of all nodes."""
    return int(ray.cluster_resources().get("CPU", 1))


def known_cpus() -> int | None:
    """Those of the Ray that this process is connected to; None: it is not."""
    ray = sys.modules.get("ray")
    return cluster_cpus(ray) if ray is not None and hasattr(ray, "is_initialized") and ray.is_initialized() else None


def _call(path: list[str], content: bytes) -> Any:
    """The far end. Ray tells it some of the import path of the main process only."""
    sys.path += [entry for entry in path if entry not in sys.path]
    loaded: Any = load(content)
    fn, args, kwargs = loaded
    return fn(*args, **kwargs)
