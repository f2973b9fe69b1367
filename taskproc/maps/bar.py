"""A map with a progress bar of tqdm: `pqdm`, as taskproc.processes and taskproc.threads have it."""
from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from taskproc.errors import OptionError
from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour
from taskproc.maps.map_pool import MapResults, Pool, SizedMapResults, Worker, behaviour

POOL_ARGUMENTS = ("chunk_size", "chunk_prefill_ratio", "is_unordered", "task_timeout", "join_timeout", "executor")


class _Shown:
    """What a map with a bar has beside its values: what is asked of it is asked of the bar, such as `set_description`.

    Attributes:
        bar: the bar itself.
    """

    def __init__(self, bar: Any, results: MapResults):
        self.bar = bar
        self._shown, self._results = iter(bar), results
        weakref.finalize(self, results.close)  # the bar may live longer, in a cycle of its own

    def __next__(self) -> Any:
        return next(self._shown)

    def close(self) -> None:
        """End the map and leave the bar as it is. Idempotent."""
        self._results.close()
        self.bar.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bar, name)


class ShownResults(_Shown, MapResults):
    """Results behind a bar."""


class ShownSizedResults(_Shown, SizedMapResults):
    """Results behind a bar, of an input that has a length."""

    def __len__(self) -> int:
        """How many values there are in all, given or not."""
        return len(self._results)  # type: ignore[arg-type]  # made only of those that have one


def with_bar(
    input_iterable: Iterable[Any],
    worker_or_worker_arr: Worker | Sequence[Worker],
    n_jobs: int | None,
    argument_type: ArgumentPassing | str,
    bounded: bool,
    exception_behaviour: ExceptionBehaviour | str | None,
    *,
    use_threads: bool,
    tqdm_class: Callable[..., Any] | None,
    options: Mapping[str, Any],
) -> MapResults:
    """The values of a map, shown by a bar; `options` are other arguments of the pool and of the bar."""
    make_bar = _tqdm() if tqdm_class is None else tqdm_class
    american = options.get("exception_behavior")
    pool = {name: options[name] for name in POOL_ARGUMENTS if name in options}
    of_bar = {name: value for name, value in options.items() if name not in {*pool, "exception_behavior"}}
    _check(of_bar, make_bar)
    if sys.stderr is None and "file" not in of_bar and "disable" in _parameters(make_bar):
        of_bar.setdefault("disable", True)  # there is nowhere to draw it
    made = Pool(worker_or_worker_arr, n_jobs, argument_type, bounded=bounded, use_threads=use_threads, **pool,
                exception_behavior=behaviour(american, exception_behaviour, ExceptionBehaviour.IGNORE))
    results = made(input_iterable)
    kind = ShownSizedResults if isinstance(results, SizedMapResults) else ShownResults
    return kind(make_bar(results, **of_bar), results)


def _tqdm() -> Callable[..., Any]:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("pqdm shows a bar of tqdm, which is not installed: pip install 'taskproc[tqdm]'. "
                          "A Pool needs none") from error
    found: Callable[..., Any] = tqdm
    return found


def _check(options: Mapping[str, Any], make_bar: Callable[..., Any]) -> None:
    """Refuse what neither a pool nor the bar knows, by name."""
    known = _parameters(make_bar)
    unknown = sorted(set(options) - known) if known else []
    if unknown:
        names = ", ".join(map(repr, unknown))
        of_bar = ", ".join(sorted(known - {"iterable"}))
        raise OptionError(f"pqdm knows no argument {names}. A pool takes {', '.join(POOL_ARGUMENTS)}; the bar {of_bar}")


def _parameters(make_bar: Callable[..., Any]) -> set[str]:
    """The names that it takes; none if that cannot be told. Classes of tqdm pass on to their bases what they get."""
    makers = [getattr(cls, "__init__") for cls in make_bar.__mro__] if isinstance(make_bar, type) else [make_bar]
    found = set[str]()
    for maker in makers:
        if maker is not object.__init__:
            parameters = inspect.signature(maker).parameters.values()
            found |= {one.name for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}}
    return found - {"self"}
