"""Maps with a progress bar of tqdm: what `pqdm` of taskproc.processes and taskproc.threads does."""
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


class _WithBar:
    """The values of a map, shown by a bar. Any other attribute, such as `set_description`, is that of the bar.

    Attributes:
        bar: the bar itself.
    """

    def __init__(self, bar: Any, results: MapResults):
        self.bar = bar
        self._values, self._results = iter(bar), results
        weakref.finalize(self, results.close)  # the bar may live longer, in a reference cycle

    def __next__(self) -> Any:
        return next(self._values)

    def close(self) -> None:
        """End the map and leave the bar as it is. May be called again."""
        self._results.close()
        self.bar.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bar, name)


class BarResults(_WithBar, MapResults):
    """Of an input without a length."""


class SizedBarResults(_WithBar, SizedMapResults):
    """Of an input that has a length."""

    def __len__(self) -> int:
        """The number of all values, yielded or not."""
        return len(self._results)  # type: ignore[arg-type]  # created only for those that have one


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
    """The values of a map, shown by a bar; `options` are further arguments of the pool and of the bar."""
    make_bar = _tqdm() if tqdm_class is None else tqdm_class
    american = options.get("exception_behavior")
    pool_options = {name: options[name] for name in POOL_ARGUMENTS if name in options}
    bar_options = {name: value for name, value in options.items() if name not in {*pool_options, "exception_behavior"}}
    _check(bar_options, make_bar)
    if sys.stderr is None and "file" not in bar_options and "disable" in _parameters(make_bar):
        bar_options.setdefault("disable", True)  # there is nowhere to draw it
    pool = Pool(worker_or_worker_arr, n_jobs, argument_type, bounded=bounded, use_threads=use_threads, **pool_options,
                exception_behavior=behaviour(american, exception_behaviour, ExceptionBehaviour.IGNORE))
    results = pool(input_iterable)
    kind = SizedBarResults if isinstance(results, SizedMapResults) else BarResults
    return kind(make_bar(results, **bar_options), results)


def _tqdm() -> Callable[..., Any]:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("pqdm needs tqdm, which is not installed: pip install 'taskproc[tqdm]'. "
                          "A Pool works without it") from error
    make_bar: Callable[..., Any] = tqdm
    return make_bar


def _check(options: Mapping[str, Any], make_bar: Callable[..., Any]) -> None:
    """Refuse options that neither a pool nor the bar takes, by name."""
    known = _parameters(make_bar)
    unknown = sorted(set(options) - known) if known else []
    if unknown:
        names = ", ".join(map(repr, unknown))
        taken = ", ".join(sorted(known - {"iterable"}))
        pool = ", ".join(POOL_ARGUMENTS)
        raise OptionError(f"pqdm has no argument {names}. A pool takes {pool}; the bar takes {taken}")


def _parameters(make_bar: Callable[..., Any]) -> set[str]:
    """The names of its parameters; empty if unknown. Classes of tqdm pass arguments on to their bases."""
    makers = [getattr(cls, "__init__") for cls in make_bar.__mro__] if isinstance(make_bar, type) else [make_bar]
    names = set[str]()
    for maker in makers:
        if maker is not object.__init__:
            parameters = inspect.signature(maker).parameters.values()
            names |= {one.name for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}}
    return names - {"self"}
