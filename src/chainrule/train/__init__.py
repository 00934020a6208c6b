"""Training: schedules, batches and the loop over them, callbacks, the history and its display."""
