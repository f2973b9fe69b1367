"""Laws of `serve`, `work`, `status` and `key` as real processes, and of tasks whose processes are killed."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gone import is_gone
from remote_processes import content_of

from taskproc import Cache, Const, Future, FutureList, Pool, Task
from taskproc.errors import TaskRaisedException, WorkerDied
from taskproc.remote import RemoteExecutor, connect
from tests.pace import limit

pytestmark = pytest.mark.slow


def ended(process):
    """The exit code of a process, and the last line of its output."""
    out, err = process.communicate(timeout=limit(60))
    return process.returncode, (err or out).splitlines()[-1]


@pytest.fixture
def served(remote):
    """A task manager in a process, and a client of it."""
    _, address = remote.serve()
    with connect(address, remote.key) as client:
        client.text = address
        yield client


def test_tasks_are_done_by_functions_of_a_module(remote, served):
    """A task runs `do_<tag>`; a tuple is several arguments; the state of the module stays from task to task."""
    remote.work(served.text, "work")
    served.add_task_request("square", 7)
    served.add_task_request("add", (1, 2))
    served.add_task_request("add", (3, 4))

    assert served.get_result_with_tag("square", limit(60)) == ("square_1", 49)
    assert sorted(served.get_result_with_tag("add", limit(60))[1] for _ in range(2)) == [(3, 1), (7, 2)]


def test_a_script_by_its_path_and_several_jobs(remote, served):
    """A module can be given by the path of a script, and several jobs run at once."""
    remote.work(served.text, str(remote.folder / "work.py"), "--jobs", "2")
    for number in range(20):
        served.add_task_request("square", number)

    assert sorted(served.get_any_result(limit(60))[2] for _ in range(20)) == [number**2 for number in range(20)]


def test_what_a_task_raises_is_told(remote, served):
    """An exception of a task is reported with its traceback, SystemExit too."""
    worker = remote.work(served.text, "work")
    served.add_task_request("fail", "boom")
    served.add_task_request("exit", 3)
    raised = []
    for _ in range(2):
        with pytest.raises(TaskRaisedException) as caught:
            served.get_any_result(limit(60))
        raised.append(caught.value)

    assert {type(each.exception) for each in raised} == {ValueError, SystemExit}
    assert "in do_fail\n" in next(each.traceback for each in raised if each.tag == "fail")
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=limit(60))
    assert out == "it fails\n"


def test_a_task_that_dies_is_done_again_by_another_process(remote, served):
    """The death of a worker process is noticed at once, without missed pings, and its task runs again."""
    remote.work(served.text, "work")
    served.add_task_request("kill", str(remote.folder / "killed"))

    assert served.get_any_result(limit(60))[2] == "done by the second one"


def test_an_agent_that_is_killed_loses_nothing(remote, served):
    """The worker process of a killed agent ends; its task is given out again when its pings are missing."""
    agent = remote.work(served.text, "work", "--period", "0.1")
    path = remote.folder / "pid"
    served.add_task_request("hang", str(path))
    worker = int(content_of(path))

    agent.kill()

    assert served.get_task_with_tag("hang", timeout=limit(60))[0] == "hang_1"
    while Path(f"/proc/{worker}").exists() and " Z " not in Path(f"/proc/{worker}/stat").read_text():
        pass


def test_an_agent_that_was_given_up_comes_back(remote, served):
    """An agent that was given up registers again and goes on; its late answer is refused."""
    agent = remote.work(served.text, "work", "--period", "0.1")
    begun, go = remote.folder / "begun", remote.folder / "go"
    served.add_task_request("wait", (str(begun), str(go)))
    content_of(begun)
    agent.send_signal(signal.SIGSTOP)
    task_id, tag, _ = served.get_any_task(timeout=limit(60))
    assert served.number_of_active_processes() == 0
    go.touch()

    agent.send_signal(signal.SIGCONT)
    served.add_task_request("square", 5)
    late = served.get_any_result(limit(60))
    served.store_result(task_id, "done by another one")

    assert late == ("square_1", "square", 25)
    assert served.get_any_result(limit(60)) == (task_id, tag, "done by another one")
    assert served.number_of_active_processes() == 1
    agent.send_signal(signal.SIGTERM)
    assert ended(agent)[0] == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_told_to_stop_gives_back_what_it_has(remote, served, number):
    """A stopped worker returns its task at once, with one line; the task is first again and counts no death."""
    agent = remote.work(served.text, "work")
    path = remote.folder / "pid"
    served.add_task_request("hang", str(path))
    content_of(path)

    agent.send_signal(number)

    assert ended(agent) == (130, "0 tasks done, unfinished tasks are returned")
    assert served.number_of_tasks() == ({"hang": 1}, {}, {})
    assert served.number_of_active_processes() == 0


def test_a_worker_whose_manager_is_gone_ends(remote):
    """A worker that cannot reach its manager ends with a message after the seconds of `--retry`."""
    server, address = remote.serve()
    agent = remote.work(address, "work", "--retry", "0", "--period", "0.1")

    server.kill()

    code, _ = ended(agent)
    assert code == 1


def test_a_busy_worker_whose_manager_is_gone_ends(remote):
    """A busy worker notices by its pings that the manager is gone, and ends with the process of its task."""
    server, address = remote.serve()
    agent, path = remote.work(address, "work", "--retry", "0", "--period", "0.1"), remote.folder / "pid"
    with connect(address, remote.key) as client:
        client.add_task_request("hang", str(path))
    worker = int(content_of(path))

    server.kill()

    code, _ = ended(agent)
    assert code == 1
    assert is_gone(worker)


def test_ctrl_c_at_the_manager_ends_all_in_order(remote):
    """Ctrl-C at the manager ends it and its workers, each with one line."""
    server, address = remote.serve()
    agent = remote.work(address, "work")
    with connect(address, remote.key) as client:
        client.add_task_request("unknown", 1)

    server.send_signal(signal.SIGINT)

    assert ended(agent) == (0, "0 tasks done")
    assert ended(server) == (130, "interrupted, with 1 task waiting, 0 running, 0 results not collected")


def test_terminate_ends_workers_and_manager(remote):
    """After `terminate`, workers finish their tasks and end."""
    server, address = remote.serve()
    agent = remote.work(address, "work")
    with connect(address, remote.key) as client:
        client.add_task_request("square", 2)
        assert client.get_any_result(limit(60))[2] == 4

        client.terminate()

    assert ended(agent) == (0, "1 task done")
    assert ended(server) == (0, "terminated, with 0 tasks waiting, 0 running, 0 results not collected")


def test_the_main_script_sends_its_own_functions(remote, served):
    """Functions of the main script run on workers without a module, which only take calls."""
    remote.work(served.text)
    script = """
from taskproc.remote import RemoteExecutor
import sys

class Point:
    def __init__(self, x):
        self.x = x

def moved(point, by):
    return Point(point.x + by)

with RemoteExecutor(sys.argv[1], sys.argv[2]) as executor:
    points = list(executor.map(moved, [Point(1), Point(2)], [10, 20]))
assert all(type(point) is Point for point in points)
print([point.x for point in points])
"""
    (remote.folder / "main.py").write_text(script)
    command = [sys.executable, "main.py", served.text, str(remote.key)]
    done = subprocess.run(
        command, cwd=remote.folder, env=remote.environ, capture_output=True, text=True, timeout=limit(60)
    )

    assert (done.stdout, done.stderr) == ("[11, 22]\n", "")


class Leaf(Task):
    """Returns where it ran; kills its process at its first run if asked to."""

    def __init__(self, number: int, once: str = ""):
        self.number, self.once = number, once

    def run_task(self) -> tuple[int, int]:
        print("leaf", self.number)
        if self.once and not os.path.exists(self.once):
            Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.number, os.getpid()


class Root(Task):
    """Adds the results up."""

    def __init__(self, count: int, once: str = ""):
        self.leaves = FutureList([Leaf(number, once if number == 1 else "") for number in range(count)])
        self.more: Future[int] = Const(1)

    def run_task(self) -> tuple[int, set[int]]:
        values = self.leaves.get_result()
        return sum(number for number, _ in values) + self.more.get_result(), {pid for _, pid in values}


@pytest.fixture
def environ(environ):
    """The environment in which workers can import this module and its imports."""
    paths = [*map(str, Path(__file__).parents[:2]), environ["PYTHONPATH"]]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.parametrize("kills", [False, True])
def test_a_graph_runs_on_workers_anywhere(remote, served, tmp_path, kills):
    """A graph runs in remote workers, also when one of them dies; the workers stay after the run."""
    workers = [remote.work(served.text, "--jobs", "1") for _ in range(2)]
    with Cache(tmp_path / "cache"):
        root = Root(6, str(tmp_path / "killed") if kills else "")
        with RemoteExecutor(served.text, remote.key, max_workers=4) as executor:
            (total, pids), stats = root.run_graph(executor=executor)
        assert "leaf 3" in Leaf(3).task_stdout.read_text()

    assert total == 16
    assert os.getpid() not in pids
    assert stats["stats"][Root.task_name] == 1
    assert [worker.poll() for worker in workers] == [None, None]
    assert served.number_of_tasks() == ({}, {}, {})


def test_a_map_runs_on_workers_anywhere(remote, served):
    """A map runs in remote workers, in order; an item that kills workers is reported and affects no other."""
    remote.work(served.text, "--jobs", "2")

    def number(x):
        if x == 5:
            os.kill(os.getpid(), 9)
        return x, os.getpid()

    with RemoteExecutor(served.text, remote.key, max_workers=2) as executor:
        values = list(Pool(number, executor=executor, chunk_size=4, exception_behaviour="ignore")(range(10)))

    assert isinstance(values.pop(5), WorkerDied)
    assert [0, 1, 2, 3, 4, 6, 7, 8, 9] == [x for x, _ in values]
    assert os.getpid() not in {pid for _, pid in values}


def test_workers_outlive_those_who_run_graphs(remote, served):
    """The end of the main process of a run does not end a worker process in which tasks of other runs go on."""
    remote.work(served.text)
    script = """
import sys
from test_agent import Root
from taskproc import Cache
from taskproc.remote import RemoteExecutor

with Cache("cache"), RemoteExecutor(*sys.argv[1:3]) as executor:
    print(Root(3).run_graph(executor=executor)[0][1])
"""
    (remote.folder / "main.py").write_text(script)
    command = [sys.executable, "main.py", served.text, str(remote.key)]
    done = subprocess.run(
        command, cwd=remote.folder, env=remote.environ, capture_output=True, text=True, timeout=limit(60)
    )

    with RemoteExecutor(served.text, remote.key) as executor:
        pid = executor.submit(os.getpid).result(limit(60))

    assert (done.stdout, done.stderr) == (f"{{{pid}}}\n", "")


def test_calls_that_kill_their_workers(remote, served):
    """A call that kills three workers fails its future and affects no other call."""
    remote.work(served.text, "--jobs", "2")
    with RemoteExecutor(served.text, remote.key) as executor:
        good, bad = executor.submit(int, 1), executor.submit(os._exit, 3)

        assert good.result(limit(60)) == 1
        with pytest.raises(WorkerDied, match="3 workers died with task '_call_2'"):
            bad.result(limit(60))
        assert executor.submit(int, 2).result(limit(60)) == 2


def test_status_and_a_new_key(remote, served):
    """`status` and `key` print the state of the manager and the new key file."""
    served.add_task_request("square", 1)
    status = remote.start("status", "--address", served.text)
    other = subprocess.run([sys.executable, "-m", "taskproc.remote", "key", "new"], cwd=remote.folder,
                           env=remote.environ, capture_output=True, text=True, timeout=limit(60))

    assert status.communicate(timeout=limit(60))[0] == "0 processes\nsquare: 1 waiting, 0 running, 0 results\n"
    assert other.returncode == 0
    assert (remote.folder / "new").stat().st_mode & 0o777 == 0o600


