"""A corpus of edits: each scenario is a project, an edit of it, and what a second run must do.

A scenario in one of the `*.txt` files here is a diff of small files, and what is expected of the run after it:

    == a constant that a function reads
    @ lib.py
    -A = 1
    +A = 2
     def f(): return A
    expect: reruns

Lines begin with a blank (in both texts), `-` (before the edit) or `+` (after it). `@ NAME` begins another file; without
it the file is `lib.py`. Where there is no `main.py`, it is a task that returns `lib.f()`. The entry is what `make()` of
`main.py` gives, or else `Main()`. Libraries stand below `site-packages/`. A line with `#` in front is a comment.

    expect: reruns            the edit changes the result, and the second run must give the new one
    expect: confessed WORD …  or must say in a line that holds all these words that it did not look there
    expect: fresh             the edit changes nothing, and nothing may run
    expect: fresh NAME        the same of the tasks of one class
    needs: 3.12, numpy        the Python, and the packages, without which the scenario is left out
    how: script               `main.py` runs as `__main__`; other ways are those of step.py

`python -m tests.source.corpus --only constants --list` plays a theme, under any Python that has taskproc's needs.
"""
