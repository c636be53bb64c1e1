"""Plotly's JSON, read: what is no figure, too large or too deep is none; what reaches the frame is inert."""

import json

import pytest

pytest.importorskip("nicegui", reason="the extra `web` is not installed")

from codeact.web.page import plots

BAR = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "Two"}}}


def deep(n):
    value = "end"
    for _ in range(n):
        value = {"a": value}
    return json.dumps({"data": [value]})


def test_a_figure_is_its_data_layout_and_frames_alone():
    given = {**BAR, "frames": [{"data": []}, 7], "config": {"plotlyServerURL": "https://evil.example"}}
    assert plots.read(json.dumps(given)) == {**BAR, "frames": [{"data": []}]}
    assert plots.read('{"data": [null, {}]}') == {"data": [{}], "layout": {}, "frames": []}


@pytest.mark.parametrize("text", [
    "", "no json", "[]", "7", '{"data": 7}', '{"layout": {}}', deep(70), "[" * 100_000, '{"data": [' + "1," * 3_000_000 + "1]}",
], ids=range(9))
def test_what_is_no_figure_that_can_be_shown_is_none(text):
    assert plots.read(text) is None


def test_numbers_that_json_has_not_are_gaps():
    assert plots.read('{"data": [{"y": [NaN, Infinity, 1.5]}]}')["data"] == [{"y": [None, None, 1.5]}]


def test_names_that_would_change_all_objects_are_left_out():
    assert plots.read('{"data": [{"__proto__": {"x": 1}, "y": [1]}]}')["data"] == [{"y": [1]}]
