"""What an operator sees of a running process: counters, the live view, log lines. It changes nothing it shows."""
