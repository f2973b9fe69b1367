"""Choose(COUNT, COUNT / 2) by Pascal's rule, by taskproc: a graph in which most is shared. See fan_in.py."""
import json
import sys
import time

from taskproc import Cache, Const, Future, Task


class Choose(Task):
    """In how many ways k of n things can be chosen."""

    left: Future[int]
    right: Future[int]

    def __init__(self, n: int, k: int):
        if 0 < k < n:
            self.left = Choose(n - 1, k - 1)
            self.right = Choose(n - 1, k)
        else:
            self.left = Const(0)
            self.right = Const(1)

    def run_task(self) -> int:
        """Add the two numbers above."""
        return self.left.get_result() + self.right.get_result()


def main(count: int, folder: str) -> dict[str, float]:
    """The answer, how many tasks ran, and the seconds that building took."""
    with Cache(folder):
        start = time.perf_counter()
        root = Choose(count, count // 2)
        built = time.perf_counter()
        answer, stats = root.run_graph()
    return {"answer": answer, "ran": sum(stats["stats"].values()), "build": built - start}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
