"""Before any test: what a shell may have taken away from a program that it runs in the background."""

import signal

# Ignored there, it would stay ignored here and in every child: tests that interrupt would wait for ever
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
