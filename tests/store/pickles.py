"""What a cache stores of a value, in one piece."""
from __future__ import annotations

import io

from taskproc.store.codec import dump_result


def dumps(value: object, root: str = "", met: list[object] | None = None) -> bytes:
    """The pickle as `dump` writes it."""
    target = io.BytesIO()
    dump_result(value, target, root, met)
    return target.getvalue()
