"""The attacks, by what they aim at. Importing this imports all of them; the registry is `arena.ATTACKS`."""

from . import files, kernel, network, network_list, packages, processes, resources, sessions, wire
from .arena import ATTACKS, Arena, Attack

__all__ = ["ATTACKS", "Arena", "Attack", "files", "kernel", "network", "network_list", "packages", "processes", "resources",
           "sessions", "wire"]
