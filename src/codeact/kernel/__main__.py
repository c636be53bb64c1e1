"""Start a zygote: `python .../kernel FD`, with a connected socket inherited as descriptor FD.

`python .../kernel relay` starts one in a container, where the connection is standard input and output (relay.py).

The folder is loaded under a private package name and taken off `sys.path`, so that a user's `wire.py` or `display.py`
is found and ours is not.
"""

import os
import sys
import types


def main():
    if sys.version_info < (3, 9):
        sys.exit("this Python is %d.%d; codeact's kernel needs 3.9 or later" % sys.version_info[:2])
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    package = types.ModuleType("_codeact_kernel")
    package.__path__ = [here]
    sys.modules[package.__name__] = package
    if sys.argv[1] == "relay":
        from _codeact_kernel import relay

        relay.main()
    from _codeact_kernel import zygote

    sys.dont_write_bytecode = True
    zygote.main(int(sys.argv[1]))


main()
