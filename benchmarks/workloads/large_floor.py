"""COUNT MB: np.save, SHA-256 and fsync, and the way back; for what compresses, gzip −6 and −9: see large.py."""
import gzip
import hashlib
import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np

MB = 1_000_000
PART = 16  # MB of what compresses, because gzip −9 takes 20 s for 100; the rest is reckoned


def save(array: "np.ndarray[tuple[int], np.dtype[np.float64]]", path: Path) -> str:
    """Write, hash what is in memory, and flush."""
    with path.open("wb") as file:
        np.save(file, array)
        file.flush()
        hashed = hashlib.sha256(array.data).hexdigest()
        os.fsync(file.fileno())
    return hashed


def compress(size: int) -> dict[str, float]:
    """Bytes by gzip −6 and seconds by gzip −9 of what large.py makes, reckoned from its beginning."""
    rng, tenth = np.random.default_rng(0), size * MB // 20
    words = np.array([bytes(rng.integers(97, 123, 7).tolist()) + b" " for _ in range(1000)])
    text = words[rng.zipf(1.3, tenth // 8) % 1000].tobytes() * 10
    floats = np.tile(np.round(rng.normal(0, 1, tenth // 8), 2), 10)
    halves = [part[:PART * MB // 2] for part in (text, floats.tobytes())]
    whole = len(pickle.dumps((text, floats), 5)) / sum(map(len, halves))
    small = sum(len(gzip.compress(half, 6)) for half in halves)
    start = time.perf_counter()
    for half in halves:
        gzip.compress(half, 9)
    return {"write": (time.perf_counter() - start) * whole, "bytes": small * whole, "answer": 1}


def main(how: str, size: int, folder: Path) -> dict[str, float]:
    """Seconds to write or to read, bytes on the disk, and an answer that depends on what was read."""
    if how == "compressible":
        return compress(size)
    folder.mkdir(exist_ok=True)
    path, note = folder / "array.npy", folder / "sha256"
    if how == "random":
        array = np.random.default_rng(0).random(size * MB // 8)
        start = time.perf_counter()
        note.write_text(save(array, path))
        return {"write": time.perf_counter() - start, "bytes": path.stat().st_size, "answer": 1}
    start = time.perf_counter()
    array = np.load(path)
    assert hashlib.sha256(array.data).hexdigest() == note.read_text()
    return {"read": time.perf_counter() - start, "answer": round(float(array[:1000].sum()), 6)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
