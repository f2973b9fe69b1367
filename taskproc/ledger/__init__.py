"""What a cache remembers of its tasks, to look at: nothing here loads a result or decides whether one is fresh."""
