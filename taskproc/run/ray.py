"""Ray as an executor: each call is a Ray task. The first executor imports Ray, and starts it or connects to it."""
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

    It uses the cluster that this process is connected to, or the one named by `RAY_ADDRESS` or `ray start`. Otherwise
    it starts a local Ray, which stays until `ray.shutdown()` or the end of the program, as with Ray itself. taskproc
    must be importable on all nodes. A call is not repeated, unless `max_retries` says so.

    Args:
        n_cores: processors that all calls may use together; None: all of the cluster.
        n_cores_worker: processors for each call, `num_cpus` of Ray.
        options: other options for each call, such as `num_gpus` or `max_retries`.

    Attributes:
        repeats: whether a call is repeated when its process has died.

    Raises:
        ImportError: Ray is not installed.
    """

    def __init__(self, n_cores: int | None = None, n_cores_worker: int = 1, options: Mapping[str, Any] | None = None):
        options = dict(options or {})
        if "num_cpus" in options:
            raise OptionError("num_cpus cannot be an option of Ray here; pass n_cores_worker instead")
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
        """The Ray references of calls that run or wait for a processor."""
        with self._lock:
            return list(self._running.values())

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start a task. Cancelling its future withdraws or ends it: Ray does not say whether it has begun.

        A running call is interrupted, and its process is killed if it continues after the grace.

        Raises:
            RuntimeError: the executor was shut down.
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
        """Cancel a call. The future is done at once; Ray may take longer."""
        with self._lock:
            given_up = future.give_up()
            reference = self._running.get(future)
        if given_up and reference is not None:
            self._ray.cancel(reference)
            self._kill_later(future)  # a call that is in C code or sleeps does not notice
        return future.cancelled()

    def _kill_later(self, future: Future[Any]) -> None:
        """Kill the call after the grace, again and again: Ray loses a request that comes right before its start."""
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
        """Set the result of a call, in a thread of Ray."""
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
        """Return what the call raised, not the wrapper of Ray; a death becomes WorkerDied."""
        known = self._ray.exceptions
        if isinstance(error, (known.WorkerCrashedError, known.NodeDiedError, known.OutOfMemoryError)):
            died = WorkerDied(f"its Ray worker died: {sentence(error)}")
            died.__cause__ = error
            return died
        cause = getattr(error, "cause", None)
        return cause if isinstance(error, known.RayTaskError) and isinstance(cause, BaseException) else error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. Ray itself stays."""
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
    """Return the module `ray`, connected to a cluster, or to a local Ray that is started with `n_cores` processors.

    Raises ImportError if it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("Ray is not installed: pip install 'taskproc[ray]'. Without Ray, taskproc has its own worker "
                          "processes: executor='processes'") from error
    if not ray.is_initialized():
        try:
            ray.init(num_cpus=n_cores, include_dashboard=False)
        except ValueError:
            ray.init()  # an existing cluster takes no number of processors
    return ray


def cluster_cpus(ray: Any) -> int:
    """Return the number of processors of all nodes."""
    return int(ray.cluster_resources().get("CPU", 1))


def known_cpus() -> int | None:
    """Return the processors of the Ray that this process is connected to; None: it is not connected."""
    ray = sys.modules.get("ray")
    return cluster_cpus(ray) if ray is not None and hasattr(ray, "is_initialized") and ray.is_initialized() else None


def _call(path: list[str], content: bytes) -> Any:
    """Run a call at the far end. Ray itself passes on only a part of the import path of the main process."""
    sys.path += [entry for entry in path if entry not in sys.path]
    loaded: Any = load(content)
    fn, args, kwargs = loaded
    return fn(*args, **kwargs)
