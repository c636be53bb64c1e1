"""Makes this folder's helper modules (jupyter_gateway, docker_stand_in, ports) importable from every test below it.

And gives back what a shell takes from a program that it runs in the background, and takes the time from Hypothesis: how
long an example takes says how busy the machine is, and fails nothing.
"""

import signal

from hypothesis import HealthCheck, settings

# Ignored there, it would stay ignored here and in every child: tests that interrupt would wait for ever
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
