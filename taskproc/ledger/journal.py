"""The journal of a run: what happened in it, as one JSON object in a line for each event; docs/journal.md."""
from __future__ import annotations

import os
import time


def new_run_id() -> str:
    """An id for a run that begins now: `YYYYMMDDThhmmss-xxxxxx`, in UTC, with six random hex digits."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"
