"""The packet harness: candidates drained in turn, C floors, open-loop runs, and simulated calls (callers)."""
