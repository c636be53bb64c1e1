"""Cells that are brought back by running them again: with the same result, or not at all."""

from codeact import Interpreter

DIE = "import os; os._exit(1)"


def test_what_a_cell_took_from_a_file_is_there_after_a_death():
    with Interpreter(imports=()) as py:
        py.run("open('lines.txt', 'w').write('a\\nbb\\nccc\\n')")
        py.run("lines = open('lines.txt')")
        py.run("n = 0\nfor line in lines: n += len(line)")
        assert py.run(DIE).status == "died"
        assert py.run("n").text.endswith("9")


def test_cells_that_print_are_brought_back_without_printing_again():
    with Interpreter(imports=()) as py:
        for number in range(40):
            assert py.run(f"x = {number}\nprint('seen', x)").stdout == f"seen {number}\n"
        died = py.run(DIE)
        assert (died.status, died.stdout) == ("died", "")
        result = py.run("x")
        assert result.text == "Out[42]: 39"


def test_a_cell_that_measured_time_is_brought_back_although_times_differ():
    with Interpreter(imports=()) as py:
        py.run("import asyncio\nawait asyncio.to_thread(len, [])")   # its thread stays, so no state can be frozen
        py.run("%time total = sum(range(100_000))")
        py.run("%timeit -n1 -r1 1")
        py.run("import os; k = len(os.listdir('/'))")
        died = py.run(DIE)
        assert (died.status, died.lost) == ("died", [])
        assert py.run("total, k > 0").text.endswith("(4999950000, True)")


def test_a_cell_that_asks_for_something_else_and_keeps_quiet_about_it_is_not_taken_for_the_same():
    def double(n: int) -> int:
        return 2 * n

    with Interpreter([double], imports=()) as py:
        py.run("import asyncio\nawait asyncio.to_thread(len, [])")   # its thread stays, so no state can be frozen
        py.run("import time\ntry:\n    x = double(time.time_ns()) > 0\nexcept RuntimeError:\n    x = 'nothing was answered'")
        died = py.run(DIE)
        assert (died.status, len(died.lost)) == ("died", 1)
        assert "it asked tools or the user for something else" in died.lost[0]


def test_a_cell_that_shows_something_else_is_not_taken_for_the_same():
    with Interpreter(imports=()) as py:
        py.run("import asyncio\nawait asyncio.to_thread(len, [])")   # its thread stays, so no state can be frozen
        py.run("import time\nx = time.time_ns()\nprint(x)")
        died = py.run(DIE)
        assert (died.status, len(died.lost)) == ("died", 1)
        assert "it showed something else" in died.lost[0]


def test_the_same_question_twice_gets_both_its_answers_again_and_in_their_order():
    given = iter(range(100))

    def draw() -> int:
        return next(given)

    with Interpreter([draw], imports=()) as py:
        py.run("import asyncio\nawait asyncio.to_thread(len, [])")   # its thread stays, so no state can be frozen
        py.run("drawn = [draw(), draw()]")
        died = py.run(DIE)
        assert (died.status, died.lost) == ("died", [])
        assert py.run("drawn, draw()").text.endswith("([0, 1], 2)")
