"""COUNT MB in one result, by taskproc: `python large.py random|compressible|read COUNT FOLDER`; see fan_in.py.

Making the data is not counted. `random` is noise, `compressible` half words and half rounded floats; `read` reads the
noise.
"""
import json
import sys
import time
from pathlib import Path

import numpy as np

from taskproc import Cache, Future, Task

MB = 1_000_000


class Noise(Task):
    """Random numbers."""

    def __init__(self, size: int):
        self.size = size

    def run_task(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """As many MB as asked for."""
        return np.random.default_rng(0).random(self.size * MB // 8)


class Table(Task):
    """Words, and numbers with few digits."""

    def __init__(self, size: int):
        self.size = size

    def run_task(self) -> tuple[bytes, "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
        """As many MB as asked for, in all; it repeats itself after a tenth, far beyond what a compressor remembers."""
        rng, tenth = np.random.default_rng(0), self.size * MB // 20
        words = np.array([bytes(rng.integers(97, 123, 7).tolist()) + b" " for _ in range(1000)])
        text = words[rng.zipf(1.3, tenth // 8) % 1000].tobytes() * 10
        return text, np.tile(np.round(rng.normal(0, 1, tenth // 8), 2), 10)


class Made(Task):
    """That something was made; does not read it."""

    def __init__(self, what: Future[object]):
        self.what = what

    def run_task(self) -> int:
        """Nothing."""
        return 1


def main(how: str, size: int, folder: str) -> dict[str, float]:
    """Seconds to write or to read, bytes on the disk, and an answer that depends on what was read."""
    with Cache(folder):
        if how == "read":
            start = time.perf_counter()
            array = Noise(size).get_result()
            return {"read": time.perf_counter() - start, "answer": round(float(array[:1000].sum()), 6)}
        start = time.perf_counter()
        task: Task = Noise(size) if how == "random" else Table(size)
        answer, stats = Made(task).run_graph()
        seconds = time.perf_counter() - start
    size_on_disk = sum(path.stat().st_size for path in Path(folder).rglob("result*"))
    made = stats["seconds"][type(task).task_name]
    return {"write": seconds - made, "bytes": size_on_disk, "answer": answer}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
