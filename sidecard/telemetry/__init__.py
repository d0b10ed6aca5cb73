"""What operators see of the daemon: its log, its metrics, the last calls and traces."""
