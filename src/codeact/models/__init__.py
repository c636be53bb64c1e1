"""Where replies come from: one file per provider, loaded by its file name as `openai:NAME`."""
