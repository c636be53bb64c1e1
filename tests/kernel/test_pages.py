"""What a session allocates lies together, once the holes of the memory it inherits are filled."""

import subprocess
import sys
from pathlib import Path

KERNEL = Path(__file__).parents[2] / "src"

PROGRAM = """
import sys
sys.path.insert(0, {src!r})
from codeact.kernel import pages

holed = [bytes(200) for _ in range(4000)]
del holed[::2]          # holes in hundreds of pages
if sys.argv[1] == "fill":
    pages.fill_holes()
made = [bytes(200) for _ in range(400)]
print(len({{id(one) >> 12 for one in made}}))
"""


def pages_of(argument):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(src=str(KERNEL)), argument], capture_output=True,
                          text=True, check=True)
    return int(done.stdout)


def test_after_the_holes_are_filled_new_objects_share_pages():
    least = 400 * 240 // 4096
    assert pages_of("fill") <= least + 10
    assert pages_of("leave") > 1.5 * least   # or this tells nothing
