"""A worker of the transceiver: one process, one loop, one trunk socket, the calls on it, and their HTTP."""
