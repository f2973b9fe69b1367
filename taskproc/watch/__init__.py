"""Tells: consumes events; a watcher that raises is dropped, the run goes on."""
