"""How fast taskproc is, beside others that do the same and beside what no program can leave out.

`python -m benchmarks` from a checkout prints the table; README.md keeps the last full one.
"""
