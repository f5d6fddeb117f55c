"""Benchmarks: what a relayed packet costs, beside the floor of what it could cost (docs/benchmarks.md)."""
