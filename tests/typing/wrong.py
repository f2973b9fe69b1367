"""Wrong uses of the public names: each marked line, and no other, is an error. Read by type checkers, never run."""
# pyright: strict, reportUnusedExpression=false

from __future__ import annotations

from typing import TypedDict

from taskproc import Cache, Const, Future, FutureDict, FutureList, Task


class Choose(Task):
    def __init__(self, n: int, k: int):
        self.n = n

    def run_task(self) -> int:
        return self.n


class Words(Task):
    def run_task(self) -> dict[str, list[str]]:
        return {}


class Split(TypedDict):
    count: int


class Splits(Task):
    def run_task(self) -> Split:
        return {"count": 1}


class Pair(Task):
    def run_task(self) -> tuple[int, str]:
        return 1, "a"


class Downstream(Task):
    def __init__(self, upstream: Future[int]):
        self.upstream = upstream

    def run_task(self) -> str:
        return self.upstream.get_result()  # error


class Unfinished(Task):
    def __init__(self) -> None:
        self.words = Words()


Choose("6", 3)  # error
Choose(6)  # error
Choose(6, 3, 1)  # error
Downstream(6)  # error
Downstream(Words())  # error
Downstream(Words()["a"])  # error
Downstream(Const("a"))  # error

answer: str = Choose(6, 3).run_graph()[0]  # error
Choose(6, 3).run_graph()["stats"]  # error
Choose(6, 3).run_graph()[1]["no such"]  # error
result: str = Choose(6, 3).get_result()  # error

number: Future[str] = Choose(6, 3)  # error
element: Future[int] = Words()["a"]  # error
first: Future[int] = Words()["a"][0]  # error
Words()[3]  # error

FutureList([1, 2])  # error
FutureDict({"a": 1})  # error
Downstream(Pair()[1])  # error
Downstream(Pair()[-1])  # error
Pair()["a"]  # error
Splits()[0]  # error
numbers = FutureList([Choose(6, 3)])
numbers.append(Words())  # error
strings: list[str] = numbers.get_result()  # error

Choose(6, 3).run_graph(on_error="go on")  # error
Choose(6, 3).run_graph(rate_limits={"gpu": 1.5})  # error
Choose(6, 3).run_graph(executor=4)  # error
Choose(6, 3).run_graph(rate_limit={"gpu": 1})  # error
Unfinished().run_graph()  # error
Choose.task_name.append("x")  # error
Cache(3)  # error
