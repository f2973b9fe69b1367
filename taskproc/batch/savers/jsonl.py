"""JSONLinesSaver: results as lines of JSON. After a death, the last line may be torn until the next run."""
from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from taskproc.batch.savers.file_saver import ROWS, FileSaver, Saved, append, replace_file, truncate


class JSONLinesSaver(FileSaver):
    """Saves each result as a line of JSON, in the order of the items.

    Arrays of NumPy become nested lists, its numbers become numbers. `save` takes the options of `json.dumps` except
    `indent`.
    """

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver. Tuples and arrays are loaded as lists."""
        count = self.saved().results
        if not count:
            return
        with self.path.open(encoding="utf-8") as file:
            lines = islice(file, count)
            while rows := [json.loads(line) for line in islice(lines, ROWS)]:
                yield rows

    def _mend(self, saved: Saved) -> None:
        if saved.results:
            truncate(self.path, self._more["size"])
        else:
            self.path.unlink()

    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        lines = [json.dumps(row, **{"default": _json_form, **kwargs}) for row in rows]
        if any("\n" in line for line in lines):
            raise ValueError("a result must be one line: do not pass indent")
        content = "".join(f"{line}\n" for line in lines).encode()
        if before.results:
            size = append(self.path, self._more["size"], content)
        else:
            self._note(before, size=0)
            replace_file(self.path, lambda path: path.write_bytes(content))
            size = len(content)
        self._note(after, size=size)


def _json_form(value: Any) -> Any:
    """A value in the types of JSON, if it has a `tolist`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a result (a {type(value).__qualname__}) has no JSON form. Return plain data, or pass default=…")
