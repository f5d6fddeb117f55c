"""Is this machine ready to relay, and for how many calls: checks of the host, and a short measurement."""
