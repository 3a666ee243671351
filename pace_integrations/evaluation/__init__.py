"""Evidence: tasks, metrics, arms on the same rows, intervals and reports."""
