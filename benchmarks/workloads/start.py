"""Seconds of `import taskproc` over Python alone, of `--help`, and to the start of the first task: see fan_in.py."""
import json
import subprocess
import sys
import time

from taskproc import Task


class Main(Task):
    """Tell when it starts."""

    def run_task(self) -> int:
        """Print the time."""
        print(time.time())
        return 42


def timed(*arguments: str) -> tuple[float, float]:
    """How long a Python program takes, and the last number that it prints, counted from its start if it is a time."""
    start = time.time()
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return time.time() - start, float(done.stdout) - start if done.stdout[:1].isdigit() else 0.0


def main(folder: str) -> dict[str, float]:
    """Each once."""
    bare = timed("-c", "")[0]
    return {
        "bare": bare,
        "import": timed("-c", "import taskproc")[0] - bare,
        "help": timed("-m", "taskproc", __file__, "--help")[0],
        "first": timed("-m", "taskproc", __file__, "-o", folder)[1],
        "answer": 42,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[3])))
