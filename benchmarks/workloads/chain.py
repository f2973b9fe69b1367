"""COUNT tasks of which each needs the one before, defined by recursion, by taskproc, inline: see fan_in.py."""
import json
import sys

from taskproc import Cache, Const, Future, LocalExecutor, Task


class Link(Task):
    """One more than the one before."""

    before: Future[int]

    def __init__(self, n: int):
        self.before = Link(n - 1) if n else Const(0)

    def run_task(self) -> int:
        """Add one."""
        return self.before.get_result() + 1


def main(count: int, folder: str) -> dict[str, int]:
    """The answer, and how many tasks ran."""
    with Cache(folder):
        answer, stats = Link(count - 1).run_graph(executor=LocalExecutor())
    return {"answer": answer, "ran": sum(stats["stats"].values())}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
