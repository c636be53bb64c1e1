"""What answers a model's actions: one file per kind."""
