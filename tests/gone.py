"""Whether a process has ended: waited for by its descriptor, so that no test has to look again and again."""
from __future__ import annotations

import os
import select

from tests.pace import limit


def is_gone(pid: int, within: float = limit(20.0)) -> bool:
    """Whether the process ends within so many seconds; a zombie has ended. Needs Linux."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within)[0])
    finally:
        os.close(descriptor)
