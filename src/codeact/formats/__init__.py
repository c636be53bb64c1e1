"""How actions are spelled in a model's replies: one file per format.

A format says what an action is (`code`, `json`, `text`, `native`); an envelope says where in a reply it stands
(`_tags`, `_lines`, `_fences`; `_envelope` has them by name). Each format works with each envelope.
"""
