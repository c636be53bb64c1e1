"""Makes this folder's helper modules (jupyter_gateway, docker_stand_in) importable from every test below it."""
