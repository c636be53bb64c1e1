"""Where the jobs of a run are done: one file each, loaded by its name, with `create(n_parallel) -> attempt.Runner`."""
