"""The floor of a directory for each task, inline: a sum over COUNT results of `x + 1`. See fan_in.py.

What no program can leave out that keeps such results: a key of class and arguments; then mkdir, args.json, a claim made
with O_EXCL, the gzipped pickle and a record with its SHA-256 behind it, and a rename. No graph, no plan, no logs.
"""
import gzip
import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable

NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY


def kept(folder: str, name: str, arguments: dict[str, object], compute: Callable[[], int]) -> int:
    """The stored result of a task, or what `compute` gives, which is then stored."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    key = hashlib.blake2b(f"{name} {text}".encode(), digest_size=16).hexdigest()
    place = f"{folder}/{name}/{key}"
    try:
        os.mkdir(place)
    except FileExistsError:
        return stored(f"{place}/result.1", key)
    answer = compute()
    write(f"{place}/args.json", [text.encode()])
    payload = gzip.compress(pickle.dumps(answer, 5), 6)
    record = json.dumps({"key": key, "size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()})
    write(f"{place}/claim.1", [payload, record.encode(), len(record).to_bytes(4, "big")])
    os.rename(f"{place}/claim.1", f"{place}/result.1")
    return answer


def write(path: str, parts: list[bytes]) -> None:
    """A new file."""
    file = os.open(path, NEW)
    os.write(file, b"".join(parts))
    os.close(file)


def stored(path: str, key: str) -> int:
    """A result, of which key and digest are right."""
    with open(path, "rb") as file:
        content = file.read()
    end = len(content) - 4
    begin = end - int.from_bytes(content[end:], "big")
    record, payload = json.loads(content[begin:end]), content[:begin]
    assert (record["key"], record["sha256"]) == (key, hashlib.sha256(payload).hexdigest())
    return int(pickle.loads(gzip.decompress(payload)))


def main(count: int, folder: str) -> dict[str, int]:
    """The answer."""
    for name in ("Part", "Total"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    parts = [kept(folder, "Part", {"x": x}, lambda x=x: x + 1) for x in range(count)]  # type: ignore[misc]
    return {"answer": kept(folder, "Total", {"count": count}, lambda: sum(parts))}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
