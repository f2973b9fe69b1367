"""The room that does: it runs callables, here, in threads, in processes of our own, behind a command."""
