"""Kinds of tasks: one file each, found by its name, with `make(draws, dials) -> Forged`; `_` files are shared."""
