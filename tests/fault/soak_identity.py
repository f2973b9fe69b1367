"""The soak of keys: random values, in this process and in others."""
from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.fault.rows import ROOT, Row, guarded, row_of, settings
from tests.identity.oracle import TYPES, faults, keys_of

CLASSES = ("F8",)
VALUES = 10_000
ELSEWHERE = 2_000
HASH_SEEDS = ("0", "1", "2", "42", "4294967295", "random")


def rows(minutes: float) -> list[Row]:
    """Both of them; a minute or so."""
    del minutes
    return [*guarded("F8", "random values", _values), *guarded("F8", "hash seeds", _seeds)]


def _values() -> list[Row]:
    found = list(faults(settings.seed, VALUES))
    done = f"{VALUES:,} random values of {TYPES} types, a neighbour of each, each made again; seed {settings.seed}"
    required = "one key exactly if equal with types, 0 collisions"
    return [row_of("F8", done, required, found, f"{len(found)} wrong keys")]


def _seeds() -> list[Row]:
    expected = keys_of(settings.seed, ELSEWHERE)
    wrong = []
    for seed in HASH_SEEDS:
        command = [sys.executable, "-m", "tests.identity.oracle", str(settings.seed), str(ELSEWHERE)]
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        wrong += [seed] if json.loads(run.stdout) != expected else []
    done = f"{ELSEWHERE:,} random values in {len(HASH_SEEDS)} processes with a hash seed of their own"
    return [row_of("F8", done, "the same keys", wrong, f"{len(HASH_SEEDS) - len(wrong)} of {len(HASH_SEEDS)} the same")]
