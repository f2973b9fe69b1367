"""Labels of task classes: what rate limits and prefix commands are given for."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskproc.errors import BuildError
from taskproc.tasks.naming import task_name
from taskproc.text import did_you_mean


def labels_of(cls: type) -> tuple[str, ...]:
    """The task name first, then the labels of the class, each once. BuildError for a label that is no string."""
    given = getattr(cls, "task_label", ())
    labels = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [label for label in labels if not isinstance(label, str)]:
        raise BuildError(f"task_label of {cls.__qualname__} must be a string or a list of strings, got {wrong[0]!r}")
    return tuple(dict.fromkeys((task_name(cls), *labels)))


def warn_of_unknown(classes: Iterable[type], what: str, labels: Mapping[str, object]) -> None:
    """Warn of each label for which a `what` was given, but that none of `classes` has: most likely a slip."""
    if not labels:
        return
    known = {label for cls in classes for label in labels_of(cls)}
    unknown = [label for label in labels if label not in known]
    if unknown:
        import logging  # here: 3 ms, and a worker that loads a script does without

        logger = logging.getLogger("taskproc")
        for label in unknown:
            text = "no task of this graph has the label %r, for which a %s was given%s"
            logger.warning(text, label, what, did_you_mean(str(label), known))
