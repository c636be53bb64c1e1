"""Formulas and plots on the page, and what a hostile one of them comes to."""

import json

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

EVIL = "<img src=x onerror=top.owned=1><script>top.owned=1</script>"
MATHS = r"""<solution>It costs $5 and $10: $x_1$ and

$$f(x) = \frac{1}{\sqrt{2\pi}} e^{-x^2/2}$$

but `$code_1$` and $\foo{x}$. The end.</solution>"""
HOSTILE = r"""<solution>$\href{javascript:window.owned=1}{link}$ $</math><script>window.owned=1</script>$
$\text{<img src=x onerror=window.owned=1>}$ \(\style{x}{</mtext><svg onload=window.owned=1>}\)
$$\text{</mtext><annotation-xml encoding="text/html"><script>window.owned=1</script>}$$ ![$\mathrm{d}" onerror="window.owned=1$](x)

The end.</solution>"""
PLOT = "<execute>\ndisplay({'application/vnd.plotly.v1+json': %r, 'text/plain': 'a figure'}, raw=True)\n</execute>"


def plot(**figure):
    return PLOT % json.dumps(figure)


def shown(visit, name, *replies, end="The end."):
    one = visit().new({name: [*replies, f"<solution>{end}</solution>"]})
    one.say(name)
    expect(one.text(end).first).to_be_visible()
    one.idle()
    return one


def test_formulas_are_set_and_prices_and_code_are_not(visit):
    one = shown(visit, "maths", MATHS)
    answer = one.page.locator(".answer").last
    expect(answer.locator("math")).to_have_count(2)
    expect(answer.locator("math[display=block] mfrac msqrt")).to_have_count(1)
    expect(answer).to_contain_text("It costs $5 and $10: ")
    expect(answer.locator("code")).to_have_text("$code_1$")
    expect(answer).to_contain_text(r"$\foo{x}$")
    assert answer.locator("math mfrac").bounding_box()["height"] > 20, "it is set as a line"


def test_a_formula_is_not_seen_before_it_is_whole(visit):
    one = visit().new({"half": [r"So $x^{hold}2$ it is {hold}. <solution>The end.</solution>"]})
    one.say("half")
    live = one.page.locator(".live .answer")
    expect(live).to_have_text("So")
    one.site.model.go.set()
    expect(live.locator("math msup")).to_have_count(1)
    expect(live).to_contain_text("it is")
    one.site.model.go.set()
    expect(one.text("The end.")).to_be_visible()


def test_a_hostile_formula_is_text(visit):
    one = shown(visit, "hostile maths", HOSTILE)
    assert one.page.evaluate("window.owned") is None
    assert one.page.evaluate("document.querySelectorAll('math [href], .answer script, .answer svg, [onerror], [onload]').length") == 0
    one.faults[:] = [fault for fault in one.faults if "404" not in fault]


def test_a_plot_is_drawn_at_the_pages_width_and_answers_the_mouse(visit):
    one = shown(visit, "plot", plot(data=[{"type": "bar", "x": ["a", "b"], "y": [1, 2], "hovertemplate": "seen %{y}<extra></extra>"}],
                                    layout={"title": {"text": "Two <b>bars</b>"}, "width": 5000, "height": 300}))
    frame = one.page.frame_locator(".cell .plot iframe")
    bars = frame.locator(".bars .point path")
    expect(bars).to_have_count(2)
    expect(frame.locator(".gtitle")).to_have_text("Two bars")
    box = one.page.locator(".cell .plot iframe").bounding_box()
    assert box["height"] == 300
    assert bars.last.bounding_box()["x"] < box["x"] + box["width"], "it is cut off"
    bars.last.hover(force=True)
    expect(frame.locator(".hoverlayer")).to_contain_text("seen 2")
    assert one.page.locator(".cell .plot iframe").get_attribute("title") == "plot: Two <b>bars</b>"
    expect(one.page.locator(".cell .output")).to_have_count(0)
    stranger = visit()  # somebody who has not logged in, and reads it by its link
    stranger.page.goto(f"{one.site.url}/s/{one.site.chats.share(one.key, 'local')}")
    expect(stranger.page.frame_locator(".plot iframe").locator(".bars .point path")).to_have_count(2)


def test_a_hostile_plot_reaches_nothing(visit):
    evil = f"</script><script>top.owned=1</script>{EVIL}<a href='javascript:top.owned=1'>here</a>"
    one = shown(visit, "hostile plot", plot(
        data=[{"type": "bar", "x": [evil, "b"], "y": [1, 2], "name": evil, "text": evil, "hovertemplate": evil}],
        layout={"title": {"text": evil}, "images": [{"source": "https://evil.example/x.png"}, {"source": "/api/v1/conversations"}]}))
    frame = one.page.frame_locator(".cell .plot iframe")
    expect(frame.locator(".bars .point path")).to_have_count(2)
    frame.locator(".bars .point path").last.hover(force=True)
    assert one.page.evaluate("window.owned") is None
    element = one.page.locator(".cell .plot iframe")
    assert element.get_attribute("sandbox") == "allow-scripts"
    inside = element.element_handle().content_frame()
    assert inside.evaluate("origin") == "null"
    assert inside.evaluate("document.querySelectorAll('[onerror], [href^=javascript], #plot script').length") == 0
    assert inside.evaluate("fetch('/healthz', {mode: 'no-cors'}).then(() => 'reached', () => 'kept out')") == "kept out"
    one.faults[:] = [fault for fault in one.faults if "Content Security Policy" not in fault]


def test_what_is_no_plot_is_shown_as_text(visit):
    one = shown(visit, "no plot", plot(data=7))
    expect(one.page.locator(".cell .output")).to_have_text("a figure")
    expect(one.page.locator(".cell iframe")).to_have_count(0)


def test_drawings_json_markdown_and_latex_are_shown_once_and_a_drawing_runs_nothing(visit):
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='30'><script>top.owned=1</script><rect width='90' height='30'/></svg>"
    one = shown(visit, "kinds", "<execute>\nfor bundle in "
                f"[{{'image/svg+xml': {svg!r}, 'text/plain': 'a drawing'}}, {{'application/json': '{{\"a\": [1]}}', 'text/plain': 'an object'}},"
                " {'text/markdown': 'a **bold** $x^2$', 'text/plain': 'words'}, {'text/latex': '$\\\\displaystyle \\\\sqrt{2}$', 'text/plain': 'sqrt(2)'}]:\n    display(bundle, raw=True)\n</execute>")
    cell = one.page.locator(".cell")
    picture = cell.locator("img.figure")
    expect(picture).to_have_attribute("alt", "a drawing")
    assert picture.evaluate("(one) => one.naturalWidth") == 90
    expect(cell.locator(".output")).to_have_count(1)
    expect(cell.locator(".output")).to_contain_text('"a": [')
    expect(cell.locator("strong")).to_have_text("bold")
    expect(cell.locator("math msup")).to_have_count(1)
    expect(cell.locator("math[display=block] msqrt")).to_have_count(1)
    assert one.page.evaluate("window.owned") is None


def test_an_error_stands_apart_from_what_was_printed_with_its_end_in_sight(visit):
    from axe_core_python.sync_playwright import Axe

    code = "for n in range(60): print('line', n)\ndef again(n): return again(n - 1) if n else 1 / n\nagain(30)"
    one = visit(color_scheme="dark").new({"error": [f"<execute>\n{code}\n</execute>", MATHS]})
    one.say("error")
    expect(one.text("The end.")).to_be_visible()
    one.idle()
    error = one.page.locator(".cell .output.error").locator("visible=true")
    expect(error).to_contain_text("ZeroDivisionError: division by zero")
    expect(error).not_to_contain_text("line 0")
    expect(one.page.locator(".cell .output").first).to_contain_text("line 19")
    expect(one.page.locator(".bar .failed")).to_contain_text("error, ")
    one.page.get_by_text("all 60 lines").click()
    expect(one.page.locator(".cell .output").locator("visible=true").first).to_contain_text("line 59")
    expect(one.page.locator(".cell").get_by_text("line 7", exact=False).locator("visible=true")).to_have_count(1)
    found = Axe().run(one.page)["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []
    one.shot("error")


def test_the_bar_that_opens_folded_output_has_its_words_and_its_arrow_on_one_line(visit):
    one = shown(visit, "fold it", "<execute>\nfor n in range(60):\n    print('line', n)\n</execute>")
    bar = one.page.locator(".folded .q-item")
    arrow, words = (bar.locator(part).bounding_box() for part in (".q-icon", ".q-item__label"))
    assert abs(arrow["y"] + arrow["height"] / 2 - words["y"] - words["height"] / 2) < 2
    assert 0 < words["x"] - arrow["x"] - arrow["width"] < 12
    bar.click()
    expect(one.text("line 59")).to_be_visible()
