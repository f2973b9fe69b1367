"""python -m taskproc: the command line."""
from taskproc.cli.main import main

# A child that multiprocessing spawns imports this file again, under another name
if __name__ == "__main__":
    raise SystemExit(main())
