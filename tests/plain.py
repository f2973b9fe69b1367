"""Texts that name tasks, without their short ids: what a test of something else compares."""
from __future__ import annotations

import re


def plain(text: object) -> str:
    """`Fit(seed=0)` for `Fit#3fa1(seed=0)`, wherever it stands."""
    return re.sub(r"(?<=\w)#[0-9a-f]{4,32}(?=\W|$)", "", str(text))
