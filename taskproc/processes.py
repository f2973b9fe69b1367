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
    """Map by worker processes, with a progress bar; see Pool for the arguments and what comes back.

    Args:
        exception_behaviour: by default an exception is given in place of the value.
        tqdm_class: of the bar; by default `tqdm.auto.tqdm`, which is asked for when this is called.
        kwargs: chunk_size, chunk_prefill_ratio, is_unordered, task_timeout, join_timeout and executor of the pool, and
            whatever the bar takes (`desc`, `disable` …). Others are refused.

    The bar goes from 0 to 100 % where the input has a length, and counts where it has none.
    """
    return with_bar(input_iterable, worker_or_worker_arr, n_jobs, argument_type, bounded, exception_behaviour,
                 use_threads=False, tqdm_class=tqdm_class, options=kwargs)
