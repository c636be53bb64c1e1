"""Benchmarks: one file or folder each, loaded by its name, with `create(**options) -> tasks.Suite`."""
