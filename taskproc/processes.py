"""`from taskproc.processes import pqdm`: a map by worker processes, with a progress bar."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from taskproc.maps.bar import with_bar
from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour
from taskproc.maps.map_pool import MapResults, Worker

__all__ = ["ArgumentPassing", "ExceptionBehaviour", "pqdm"]


def pqdm(
    input_iterable: Iterable[Any],
    worker_or_worker_arr: Worker | Sequence[Worker],
    n_jobs: int | None = None,
    argument_type: ArgumentPassing | str = ArgumentPassing.AS_SINGLE_ARG,
    bounded: bool = True,
    exception_behaviour: ExceptionBehaviour | str | None = None,
    *,
    tqdm_class: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> MapResults:
    """Map by worker processes, with a progress bar. The arguments are those of Pool, with these differences.

    Args:
        input_iterable: the items.
        exception_behaviour: by default "ignore": an exception takes the place of the value.
        tqdm_class: the class of the bar; by default `tqdm.auto.tqdm`, which is imported by the call.
        kwargs: chunk_size, chunk_prefill_ratio, is_unordered, task_timeout, join_timeout and executor of the pool, and
            those of the bar (`desc`, `disable` …). Others are refused.

    Returns:
        An iterator over the values, which also has the methods of the bar. The bar goes from 0 to 100 % if the input
        has a length, and counts otherwise.

    Raises:
        OptionError: an argument is wrong or unknown.
        ImportError: tqdm is not installed.
    """
    return with_bar(input_iterable, worker_or_worker_arr, n_jobs, argument_type, bounded, exception_behaviour,
                 use_threads=False, tqdm_class=tqdm_class, options=kwargs)
