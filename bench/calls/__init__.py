"""How many calls a transceiver carries, how soon they are up, and what disturbs them: with real clients of our own."""
