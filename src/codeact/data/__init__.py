"""Benchmarks' data on this machine: where it lies, where it comes from, and how it gets here."""
