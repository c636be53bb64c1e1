"""Rich outputs: bundles, display(), figures, IPython's names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from cells import Cells, session

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def cells() -> Iterator[Cells]:
    with session() as one:
        yield one


def test_display_shows_before_the_value_and_after_what_was_printed(cells: Cells) -> None:
    order: list[str] = []
    cells.repl.display._emit = lambda kind, bundle, meta: order.append(bundle["text/plain"])

    class Stream:
        def write(self, text: str) -> None:
            self.text = text

        def flush(self) -> None:
            order.append(getattr(self, "text", ""))
            self.text = ""

    before, sys.stdout = sys.stdout, Stream()   # type: ignore[assignment]
    try:
        assert cells.run("sys = __import__('sys'); sys.stdout.write('printed')\ndisplay(1, 'two')\n3")["value"] == {
            "text/plain": "3"}
    finally:
        sys.stdout = before
    assert [text for text in order if text] == ["printed", "1", "'two'"]


def test_every_form_of_a_value_is_kept(cells: Cells) -> None:
    result = cells.run("class Rich:\n    def _repr_html_(self): return '<b>x</b>'\n"
                       "    def _repr_png_(self): return b'png', {'width': 3}\n    def _repr_latex_(self): return None\n"
                       "    def __repr__(self): return 'Rich()'\nRich()")
    assert result["value"] == {"text/plain": "Rich()", "text/html": "<b>x</b>", "image/png": b"png"}


def test_a_mime_bundle_is_taken_and_structures_become_json(cells: Cells) -> None:
    result = cells.run("class Chart:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
                       "        return {'application/vnd.plotly.v1+json': {'data': [1]}, 'image/png': 'iVBORw=='}, {}\n"
                       "Chart()")
    value = result["value"]
    assert value["application/vnd.plotly.v1+json"] == '{"data": [1]}'
    assert value["image/png"] == b"\x89PNG"


def test_a_form_that_fails_leaves_the_others(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    result = cells.run("class Half:\n    def _repr_html_(self): raise ValueError('no html')\n"
                       "    def _repr_markdown_(self): return '# x'\n    def __repr__(self): raise KeyError('no repr')\n"
                       "Half()")
    assert result["status"] == "ok"
    assert result["value"]["text/markdown"] == "# x"
    assert "KeyError" in result["value"]["text/plain"]
    assert "no html" in capsys.readouterr().err


def test_a_repr_that_fails_is_the_cells_error(cells: Cells) -> None:
    error = cells.error("class Bad:\n    def __repr__(self):\n        raise ValueError('boom')\nBad()")
    assert error["message"] == "boom"
    assert 'File "<cell 1>", line 3, in __repr__' in error["traceback"]
    assert cells.value("type(_).__name__") == "'Bad'"


def test_classes_and_magic_attributes_are_not_asked(cells: Cells) -> None:
    assert cells.run("class Any:\n    def __getattr__(self, name): return lambda *a: 'anything'\n"
                     "    def _repr_html_(self): return 'html'\nAny")["value"] == {"text/plain": "__main__.Any"}
    assert set(cells.run("from unittest.mock import MagicMock\nMagicMock()")["value"]) == {"text/plain"}


def test_a_form_too_large_is_left_out(cells: Cells, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from codeact.kernel import display

    monkeypatch.setattr(display, "MAX_BYTES", 10)
    value = cells.run("class Big:\n    def _repr_html_(self): return 'x' * 11\nBig()")["value"]
    assert set(value) == {"text/plain"}
    assert "left out" in capsys.readouterr().err


def test_pandas_tables_come_as_text_and_html(cells: Cells) -> None:
    value = cells.run("import pandas as pd\npd.DataFrame({'a': [1, 2]})")["value"]
    assert value["text/plain"] == "   a\n0  1\n1  2"
    assert "<table" in value["text/html"]


def test_display_takes_bundles_and_choices(cells: Cells) -> None:
    cells.value("display({'text/html': '<i>', 'image/png': b'x'}, raw=True)\n"
                "class Two:\n    def _repr_html_(self): return 'h'\n    def _repr_latex_(self): return 'l'\n"
                "display(Two(), include=['text/html'])\nh = display(1, display_id=True)\nh.update(2)")
    assert cells.displayed[0] == {"text/html": "<i>", "image/png": b"x"}
    assert set(cells.displayed[1]) == {"text/plain", "text/html"}
    assert [one["text/plain"] for one in cells.displayed[2:]] == ["1", "2"]


# Figures ------------------------------------------------------------------------------------------------------------

def test_an_open_figure_is_shown_when_the_cell_ends(cells: Cells) -> None:
    cells.value("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert [set(one) for one in cells.displayed] == [{"text/plain", "image/png"}]
    assert cells.displayed[0]["image/png"].startswith(PNG)
    assert cells.value("plt.get_fignums()") == "[]"
    assert len(cells.displayed) == 1


def test_show_shows_at_that_moment(cells: Cells) -> None:
    cells.value("import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\ndisplay('between')\nplt.plot([2])\nplt.show()")
    assert ["image/png" in one for one in cells.displayed] == [True, False, True]


def test_figures_of_a_failed_cell_are_shown(cells: Cells) -> None:
    assert cells.error("import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0")["name"] == "ZeroDivisionError"
    assert len(cells.displayed) == 1


def test_a_figure_as_value_is_shown_once(cells: Cells) -> None:
    value = cells.run("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nfig")["value"]
    assert value["image/png"].startswith(PNG)
    assert value["text/plain"] == "<Figure size 640x480 with 1 Axes>"
    assert cells.displayed == []


def test_a_figure_that_cannot_be_drawn_is_an_error_and_is_closed(cells: Cells) -> None:
    assert cells.error("import matplotlib.pyplot as plt\nplt.title('$\\\\frac{$')")["name"] == "ValueError"
    assert "inches" in cells.error("plt.figure(figsize=(2000, 1000)).text(0, 0, 'x')")["message"]
    assert cells.value("plt.get_fignums()") == "[]"


def test_pyplot_is_prepared_when_a_cell_imports_it_first() -> None:
    code = """if 1:
        import sys
        from codeact.kernel.repl import Repl
        shown = []
        repl = Repl(lambda kind, bundle, meta: shown.append(sorted(bundle)))
        assert "matplotlib" not in sys.modules
        done = repl.run("from matplotlib import pyplot as plt\\nplt.plot([1])\\nplt.show()\\nshown = 1", 1)
        print(done["error"], shown)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg", "HOME": "/nonexistent"})
    assert done.stdout == "None [['image/png', 'text/plain']]\n"


def test_plotlys_figures_are_shown_as_data_and_open_no_browser() -> None:
    pytest.importorskip("plotly")
    code = """if 1:
        from codeact.kernel.repl import Repl
        shown = []
        repl = Repl(lambda kind, bundle, meta: shown.append(bundle))
        def done(text):
            done = repl.run(text, 1)
            assert done["error"] is None, done["error"]
            return done["value"]
        data = "application/vnd.plotly.v1+json"
        assert '"bar"' in done("import plotly.graph_objects as go\\nfig = go.Figure(go.Bar(y=[3, 4]))\\nfig")[data]
        done("fig.show()")
        done("import plotly.io as pio\\npio.show({'data': [{'type': 'pie'}]})")
        print(['"bar"' in shown[0][data], '"pie"' in shown[1][data], len(shown)])
        done("pio.renderers.default = 'png'")
        assert data not in done("fig")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "BROWSER": "false"})
    assert done.stdout == "[True, True, 2]\n"


# IPython's names ----------------------------------------------------------------------------------------------------

def test_ipythons_own_display_goes_through_ours(cells: Cells) -> None:
    pytest.importorskip("IPython")
    cells.value("from IPython.display import HTML, display, Image\ndisplay(HTML('<b>'))")
    assert cells.displayed[0]["text/html"] == "<b>"


def test_where_ipython_is_missing_its_names_are_there() -> None:
    code = """if 1:
        import sys
        sys.modules["IPython"] = None
        from codeact.kernel.repl import Repl
        shown = []
        repl = Repl(lambda kind, bundle, meta: shown.append(bundle))
        del sys.modules["IPython"]
        sys.meta_path[:] = [f for f in sys.meta_path if not (isinstance(f, type) and f.__name__ == "PathFinder")]
        done = repl.run("from IPython.display import *\\nfrom IPython.display import HTML, Image, Markdown, display\\n"
                        "display(HTML('<b>'), Markdown('# m'), Image(b'GIF89a'))\\nimport IPython\\n"
                        "IPython.get_ipython()", 1)
        print(done["error"], shown)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("None [{'text/plain': '<IPython.display.HTML object>', 'text/html': '<b>'}")
    assert "'image/gif': b'GIF89a'" in done.stdout
