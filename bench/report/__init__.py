"""What a run found, kept and shown: raw JSON, page, summary, and the comparison of two runs (docs/benchmarks.md)."""
