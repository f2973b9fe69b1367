"""python -m taskproc.remote: the command line of the task manager."""
from taskproc.cli.remote_commands import main

# A child that multiprocessing spawns imports this file again, under another name
if __name__ == "__main__":
    raise SystemExit(main())
