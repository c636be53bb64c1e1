"""Running many tasks on a model and saying what came of it: runner, files, statistics, report."""
