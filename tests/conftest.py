"""Makes this folder's helper modules (jupyter_gateway, docker_stand_in) importable from every test below it.

And gives back what a shell takes from a program that it runs in the background.
"""

import signal

# Ignored there, it would stay ignored here and in every child: tests that interrupt would wait for ever
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
