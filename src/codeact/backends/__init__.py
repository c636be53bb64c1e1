"""What runs cells: one file each, found by its name. The contract is interpreter/backend.py."""
