"""The page: a view of a conversation's entries, made in Python (NiceGUI); nothing in it comes from elsewhere."""
