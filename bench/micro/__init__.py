"""Micro benchmarks, by pytest-benchmark, and their saved baseline."""
