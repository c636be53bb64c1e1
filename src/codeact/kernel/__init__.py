"""What runs inside the walls: standard library only, Python 3.9 or later, started as `python .../kernel`.

The host imports `wire` and `values` of it and nothing else.
"""
