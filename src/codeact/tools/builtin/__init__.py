"""Tools that come with codeact, one a file, loaded by name and off unless asked for: `tools=["web_fetch"]`."""
