r"""Formulas: found among words, code and prices; made into MathML in which nothing of the text is markup."""

import html
import re

import pytest

pytest.importorskip("latex2mathml", reason="the extra `web` is not installed")

from codeact.web.page import maths


def found(text):
    return [written for written, _ in maths.lift(text).formulas]


@pytest.mark.parametrize(("text", "formulas"), [
    ("the mean $\\bar{x}_1$ and $y_2$", ["$\\bar{x}_1$", "$y_2$"]),
    ("$$\nx\n$$", ["$$\nx\n$$"]),
    ("\\[ x \\] then \\(y\\)", ["\\[ x \\]", "\\(y\\)"]),
    ("\\begin{align*}a&=b\\end{align*}", ["\\begin{align*}a&=b\\end{align*}"]),
    ("| a |\n|---|\n| $|x|$ |", ["$|x|$"]),
    ("$2x$ of $10$", ["$2x$", "$10$"]),
])
def test_formulas_are_found_in_each_way_to_write_them(text, formulas):
    assert found(text) == formulas


@pytest.mark.parametrize("text", [
    "it costs $5 and $10.", "US$5 to A$6", "$5k of debt and 6$ more", "$5/$6 a piece", "between $1,000 and (or $900)",
    "$HOME/bin:$PATH", "a $ b $ c", "`$x$` and ``$y$``", "```\n$x$\n```", "~~~\n$x$", "1. a\n   ```\n   $x$\n   ```\n",
    "one $x\n\nand y$ two",
])
def test_prices_shell_variables_and_code_are_no_formulas(text):
    assert found(text) == []
    assert maths.put_back(text, maths.lift(text)) == text


def test_an_escaped_dollar_is_a_dollar():
    lifted = maths.lift("\\$5 and \\$6")
    assert maths.put_back(lifted.text, lifted) == "$5 and $6"


@pytest.mark.parametrize(("latex", "seen"), [
    ("\\frac{a}{b}", "<mfrac>"), ("\\mathrm{d}x", 'mathvariant="normal"'), ("\\boxed{42}", 'class="boxed"'),
    ("\\boldsymbol\\beta", 'class="bold"'), ("\\begin{aligned}a&=b\\\\&=c\\end{aligned}", "<mtable"),
    ("\\text{a \\_ b}", "a _ b".replace(" ", "\xa0")), ("x \\label{one} \\tag{1}", "<mi>x</mi></mrow>"),
])
def test_latex_becomes_mathml(latex, seen):
    assert seen in maths.typeset(latex)


@pytest.mark.parametrize("latex", [
    "\\href{javascript:window.owned=1}{x}", "</math><script>owned</script>", "\\text{<img src=x onerror=owned>}",
    "\\textcolor{red\" onload=\"owned}{x}", "\\style{background:url(x)}{x}", "\\class{approval}{x}", "&lt;script&gt;",
    "\\text{&#60;script&#62;}", "\\color{javascript:x}{y}", "\\rule{1\"em}{2px}", "\\hspace{1\" onload=owned}",
])
def test_nothing_in_a_formula_is_markup_of_its_own(latex):
    made = maths.typeset(latex) or ""
    assert not re.findall(r"<(?!/?(?:math|m[a-z]+)\b)", made)
    attributes = [name for tag in re.findall(r"<\w+((?:[^<>\"]|\"[^\"]*\")*)>", made) for name in re.findall(r"([\w-]+)=\"", tag)]
    assert set(attributes) <= {"display", "stretchy", "fence", "form", "mathcolor", "width", "height", "mathvariant"}
    assert "javascript" not in "".join(re.findall(r"=\"([^\"]*)\"", made))


@pytest.mark.parametrize("latex", [
    "\\foo{x}", "\\left( x \\right", "^", "x" * 5000, " ", "{" * 1900 + "}" * 1900, "\\frac" * 700, "\\sqrt{" * 400,
])
def test_what_cannot_be_read_is_none(latex):
    assert maths.typeset(latex) is None


def test_a_formula_that_cannot_be_read_is_shown_as_it_was_written():
    lifted = maths.lift("so $\\foo<b>$ it is")
    assert maths.put_back(lifted.text, lifted) == "so $\\foo&lt;b&gt;$ it is"


def test_in_code_and_attributes_a_formula_stays_as_it_was_written():
    from codeact.web.page.words import rendered

    assert "<pre><code>$x$ code\n</code></pre>" in rendered("    $x$ code")
    assert 'alt="$\\mathrm{d}$"' in rendered("![$\\mathrm{d}$](picture.png)")
    assert "<math>" in rendered("**so** _it_ is $x_1$ and $x_2$")
    assert rendered("mark \ue0000\ue001").strip() == "<p>mark 0</p>"


@pytest.mark.parametrize("text", ["<script", "<img src=x onerror=owned", "a <b>c</b> <!-- d", "<p\n\n<svg/onload=owned"])
def test_no_tag_is_one_not_even_half_of_it(text):
    from codeact.web.page.words import rendered

    assert set(re.findall(r"<[^>]*>?", rendered(text))) <= {"<p>", "</p>", "<br />"}
    assert "<code>&lt;script" in rendered("`<script`")


@pytest.mark.parametrize("address", ["javascript:owned", "&#106;avascript:owned", "JaVaScRiPt&#58;owned", "data:text/html,x", "x:y"])
def test_a_link_leads_to_pages_and_letters_alone(address):
    from codeact.web.page.words import rendered

    links = re.findall('<a href="([^"]*)', rendered(f"[x]({address}) <{address}>"))
    assert not any(":" in html.unescape(link) for link in links)  # within the page, that is
    assert "<a" in rendered("[x](https://example.com:80/?a=b:c&d)")
    assert "<a" in rendered("<somebody@example.com>")


def test_a_block_of_code_is_one_before_it_ends():
    from codeact.web.page.words import rendered

    assert "<pre>" in rendered("so:\n\n```python\nx = $y$ < 1")


def test_a_break_in_a_tables_cell_is_one():
    from codeact.web.page.words import rendered

    assert "one<br>two" in rendered("| a |\n|---|\n| one<br>two |")
    assert 'href="https://example.com"' in rendered("<https://example.com>")


@pytest.mark.parametrize("text", ["[" * 200_000, "![" * 100_000, "[a](" * 50_000, "`a" * 100_000, "> " * 100_000, "**a" * 60_000])
def test_a_text_made_to_take_long_takes_no_longer_than_another(text):
    """Each was hours of work for the one event loop that all users share, or too deep."""
    from codeact.web.page.words import rendered

    assert rendered(text).endswith("</pre>")
    assert len(rendered(text)) < 20 * len(text)


def test_the_end_of_a_very_long_text_is_shown_as_it_was_written():
    from codeact.web.page.words import rendered

    made = rendered("**so** " * 10_000 + "<b>**end**")
    assert made.startswith("<p><strong>so</strong>")
    assert made.endswith("&lt;b&gt;**end**</pre>")
    assert rendered("a" * 1_000_000).endswith("cut off here]</p>")


def test_code_of_a_known_language_is_coloured_and_of_another_is_code():
    from codeact.web.page.words import rendered

    assert '<div class="codehilite">' in rendered("```python\nif x < 1: pass\n```")
    assert rendered("```nonesuch\nx < 1\n```") == rendered("```\nx < 1\n```") == "<pre><code>x &lt; 1\n</code></pre>\n"


@pytest.mark.parametrize(("growing", "seen"), [
    ("so $x^2", "so "), ("so \\[ \\frac{", "so "), ("so $$ x", "so "), ("so \\", "so "), ("a \\begin{align} x", "a "),
    ("so $x$ is", "so $x$ is"), ("it costs $5 and", "it costs $5 and"), ("```\n$x + ", "```\n$x + "), ("`$x$` a", "`$x$` a"),
    ("$HOME is what it is called\nand", "$HOME is what it is called\nand"),
])
def test_half_a_formula_is_not_shown_while_it_is_written(growing, seen):
    assert maths.without_half_a_formula(growing) == seen


def test_text_latex_is_a_formula_as_a_whole_or_none():
    assert maths.whole("$\\displaystyle x^2$").startswith('<span class="formula"><math display="block">')
    assert "<mtable" in maths.whole("\\begin{align}a&=b\\end{align}")
    assert maths.whole("see $x$ there") is None
    assert maths.whole("\\$") is None


@pytest.mark.parametrize("text", [
    "$" * 100_000, "`" * 100_000, "`a" * 50_000, "$a" * 50_000, "\\[" * 50_000, "\\(" * 50_000, "\\begin{align}" * 8_000,
    "~~~\n" * 25_000, "$$a" * 40_000, "``` x\n" * 20_000, "$a" + "\n" * 100_000, ("`" * 50 + "a ") * 2000,
], ids=lambda text: text[:6])
def test_hostile_text_takes_no_longer_than_other_text(text):
    maths.lift(text)  # what is quadratic takes minutes
    maths.without_half_a_formula(text)


def test_of_many_formulas_the_first_are_set():
    lifted = maths.lift(" and ".join(f"$y_{{{n}}} + {'x' * 1990}$" for n in range(40)))
    made = ["<math" in one for _, one in lifted.formulas]
    assert made == [True] * 20 + [False] * 20
