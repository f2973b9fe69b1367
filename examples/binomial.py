"""Binomial coefficients by Pascal's rule: a small graph in which most tasks are shared.

    python -m taskproc examples/binomial.py -o cache --n 10 --k 5
"""
from __future__ import annotations

from taskproc import Const, Future, Task


class Choose(Task):
    """In how many ways k of n things can be chosen."""

    left: Future[int]
    right: Future[int]

    def __init__(self, n: int, k: int):
        # Futures held by attributes are what the task needs: they are computed first, each once.
        if 0 < k < n:
            self.left = Choose(n - 1, k - 1)
            self.right = Choose(n - 1, k)
        elif k in (0, n):
            self.left = Const(0)
            self.right = Const(1)
        else:
            raise ValueError(f"k must be between 0 and n, got n={n}, k={k}")

    def run_task(self) -> int:
        """Add the two numbers above, as in Pascal's triangle."""
        return self.left.get_result() + self.right.get_result()


class Main(Task):
    """Print n choose k."""

    def __init__(self, n: int = 6, k: int = 3):
        self.n = n
        self.k = k
        self.answer = Choose(n, k)

    def run_task(self) -> int:
        """Print and return the answer."""
        answer = self.answer.get_result()
        print(f"{self.n} choose {self.k} is {answer}")
        return answer


if __name__ == "__main__":
    Main.cli()
