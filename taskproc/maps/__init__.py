"""Maps over any iterable, lazily, by workers that keep their state: what reads, what works, what gives."""
