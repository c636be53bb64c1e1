"""The README's programs print what the README says they print."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```\n.*?```text\n(.*?)```", README, re.S)


@pytest.mark.parametrize(("program", "output"), BLOCKS, ids=range(len(BLOCKS)))
def test_a_program_of_the_readme_prints_what_it_says(program, output, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout == output


def test_all_programs_are_found():
    assert len(BLOCKS) == 6
