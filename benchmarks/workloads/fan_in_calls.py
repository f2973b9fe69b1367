"""The floor of the protocol, inline: what it asks of the file system for COUNT tasks, and nothing else. See fan_in.py.

The calls are those of a task that is made for the first time, in their order (docs/storage.md), with as many bytes:
a claim is signed and looked at again before anything runs, so that one of many wins, and what is published is seen to
be ours. Nothing is named, pickled, hashed or decided.
"""
import json
import os
import sys

ARGUMENTS, HEAD, RESULT = bytes(150), bytes(200), bytes(900)
NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW


def make(place: str) -> None:
    """One task."""
    os.mkdir(place)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    file = os.open("args.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, dir_fd=folder)
    os.write(file, ARGUMENTS)
    os.close(file)
    claim = os.open("claim.1", NEW, dir_fd=folder)
    os.write(claim, HEAD)
    assert len(os.listdir(folder)) == 2
    os.write(claim, RESULT)
    made = os.fstat(claim)
    os.close(claim)
    os.rename("claim.1", "result.1", src_dir_fd=folder, dst_dir_fd=folder)
    assert os.stat(f"{place}/result.1").st_ino == made.st_ino
    os.close(folder)


def main(count: int, folder: str) -> dict[str, int]:
    """The answer that the tasks would give."""
    os.makedirs(f"{folder}/Part")
    for x in range(count):
        make(f"{folder}/Part/{x}")
    return {"answer": count * (count + 1) // 2}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
