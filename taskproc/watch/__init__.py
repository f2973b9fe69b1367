"""Reports: consumes the events of a run. A watcher that raises is dropped, and the run goes on."""
