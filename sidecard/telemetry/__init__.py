"""What operators see of the daemon: for now its log."""
