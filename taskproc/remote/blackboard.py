"""Values by label, by which processes tell each other what they like."""
from __future__ import annotations

from taskproc.errors import UnknownToManager


class Blackboard:
    """Each method is one step for all threads: the dictionary sees to that."""

    def __init__(self) -> None:
        self._labels: dict[str, object] = {}

    def store_data(self, /, **data: object) -> None:
        """Keep values by label, for all processes."""
        self._labels.update(data)

    def retrieve_data(self, label: str) -> object:
        """The value kept as `label`. UnknownToManager."""
        try:
            return self._labels[label]
        except KeyError:
            raise _unknown(label) from None

    def delete_data(self, label: str) -> None:
        """Forget the value kept as `label`. UnknownToManager."""
        try:
            del self._labels[label]
        except KeyError:
            raise _unknown(label) from None


def _unknown(label: str) -> UnknownToManager:
    return UnknownToManager(f"no data is stored as {label!r}")
