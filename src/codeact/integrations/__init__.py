"""The interpreter inside other people's programs, one file each; each needs an extra of its own."""
