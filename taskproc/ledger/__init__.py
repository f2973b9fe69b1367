"""What a cache remembers, read for people: journals of runs, records and their sizes. No result is loaded here."""
