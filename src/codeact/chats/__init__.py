"""Conversations that outlive their page and their process: a database of them, and the agents that have them.

The web server (`web/`) is a view of this; nothing here knows HTTP. `chats.Chats` is the front.
"""
