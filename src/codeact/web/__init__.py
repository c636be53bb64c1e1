"""The web interface: a page and an HTTP API over the conversations of `chats/`. `codeact serve` runs it."""
