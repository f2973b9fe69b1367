"""A sum over COUNT tasks `x + 1`, by stardag with a file for each, one by one: see fan_in.py."""
import json
import os
import sys

os.environ["STARDAG_TARGET_ROOTS"] = json.dumps({"default": sys.argv[3]})

import stardag  # it reads the variable


class Part(stardag.Task[int]):
    """One number more."""

    x: int

    def run(self):
        self._save(self.x + 1)


class Total(stardag.Task[int]):
    """The sum of them all."""

    parts: tuple[stardag.TaskLoads[int], ...]

    def requires(self):
        return self.parts

    def run(self):
        self._save(sum(part.load() for part in self.parts))


if __name__ == "__main__":
    root = Total(parts=tuple(Part(x=x) for x in range(int(sys.argv[2]))))
    stardag.build_sequential(root)
    print(json.dumps({"answer": root.load()}))
