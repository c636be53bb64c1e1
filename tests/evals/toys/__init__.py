"""The toys of tests, as plug-ins that a worker of another process can import."""
