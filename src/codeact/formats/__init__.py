"""How actions are spelled in a model's replies: one file per format; `envelope.py` is the marks around them."""
