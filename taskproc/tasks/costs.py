"""What the tasks of a graph are expected to cost."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taskproc.ledger.estimates import Cost, Estimates
from taskproc.tasks.naming import arguments_text

if TYPE_CHECKING:
    from taskproc.tasks.task_graph import Graph


def task_costs(graph: Graph, keys: Iterable[str], estimates: Estimates) -> dict[str, Cost]:
    """Key → what the task is expected to cost."""
    by_class: dict[str, dict[int, str]] = {}
    for key in keys:
        place = graph.tasks[key]._taskproc.place
        by_class.setdefault(place.name, {})[place.id] = key
    costs: dict[str, Cost] = {}
    for name, numbers in by_class.items():

        def arguments_of(number: int, numbers: Mapping[int, str] = numbers) -> Mapping[str, Any]:
            found: Mapping[str, Any] = json.loads(arguments_text(graph.tasks[numbers[number]]._taskproc))["args"]
            return found

        found = estimates.costs(name, list(numbers), arguments_of)
        costs.update((numbers[number], cost) for number, cost in found.items())
    return costs
