"""Frames: whole ones arrive as sent however they are cut; anything else is a ProtocolError or not yet a frame."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import threading
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeact.kernel import wire
from codeact.kernel.wire import Connection, ProtocolError, pack_frame, unpack_header

quick = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                           lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
headers = st.dictionaries(st.text(), json_values, max_size=4).map(
    lambda header: {**{key: value for key, value in header.items() if key != "sizes"}, "t": "x"})
frames = st.tuples(headers, st.lists(st.binary(max_size=200), max_size=4))


@pytest.fixture
def ends():
    left, right = socket.socketpair()
    pair = Connection(left), Connection(right)
    yield pair
    for end in pair:
        end.close()


def feed(data: bytes, **options) -> list:
    """What a connection makes of a stream of bytes that then ends."""
    left, right = socket.socketpair()
    receiver = Connection(right, **options)
    writer = threading.Thread(target=lambda: (_send_all(left, data), left.close()))
    writer.start()
    try:
        found = []
        while (frame := receiver.receive(timeout=60)) is not None:
            found.append(frame)
        return found
    finally:
        receiver.close()
        writer.join()


def _send_all(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:  # the receiver had enough
        pass


def plain(frame):
    header, buffers = frame
    return {key: value for key, value in header.items() if key != "sizes"}, [bytes(buffer) for buffer in buffers]


@quick
@given(st.lists(frames, max_size=4))
def test_frames_arrive_as_sent_and_in_order(sent):
    assert [plain(frame) for frame in feed(b"".join(pack_frame(*frame) for frame in sent))] == sent


@quick
@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_frames_may_arrive_in_any_pieces(sent, data):
    stream = b"".join(pack_frame(*frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    left, right = socket.socketpair()
    receiver, found = Connection(right), []
    with left:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            if start < end:
                left.sendall(stream[start:end])
                receiver.fill()
                while (frame := receiver.take()) is not None:
                    found.append(plain(frame))
    receiver.close()
    assert found == sent


@quick
@given(st.binary(max_size=300))
def test_random_bytes_break_the_protocol_or_end_early(data):
    try:
        feed(data)
    except ProtocolError:
        pass


@quick
@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20))
def test_a_frame_with_any_header_breaks_the_protocol_or_arrives(header, tail):
    try:
        for found, buffers in feed(struct.pack("<II", len(header), len(tail)) + header + tail):
            assert isinstance(found["t"], str)
            assert sum(map(len, buffers)) == len(tail)
    except ProtocolError:
        pass


@quick
@given(json_values)
def test_sizes_that_do_not_fit_the_tail_are_refused(sizes):
    header = json.dumps({"t": "x", "sizes": sizes}).encode()
    good = isinstance(sizes, list) and all(type(size) is int and size >= 0 for size in sizes) and sum(sizes) == 7
    try:
        feed(struct.pack("<II", len(header), 7) + header + b"1234567")
        assert good
    except ProtocolError:
        assert not good


def test_lengths_are_refused_before_anything_is_allocated():
    tracemalloc.start()
    try:
        for lengths in [(wire.MAX_HEADER_BYTES + 1, 0), (2, wire.MAX_TAIL_BYTES + 1), (0xFFFFFFFF, 0xFFFFFFFF)]:
            with pytest.raises(ProtocolError, match="over the limit"):
                feed(struct.pack("<II", *lengths) + b"{}")
        with pytest.raises(ProtocolError, match="ended inside"):
            feed(struct.pack("<II", wire.MAX_HEADER_BYTES, wire.MAX_TAIL_BYTES) + b"{}")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_connection_may_set_a_smaller_tail():
    with pytest.raises(ProtocolError, match="over the limit"):
        feed(pack_frame({"t": "x"}, [bytes(11)]), max_tail=10)


@pytest.mark.parametrize("text", [
    b"[" * 100_000, b'{"t":' * 100_000, b'{"t":"x","a":' + b"[" * 200 + b"]" * 200 + b"}", b"[1]", b"{}", b'{"t":1}', b"",
    b"\xff\xfe", b'{"t":"x","n":' + b"9" * 5000 + b"}", b'{"t":"' + b'[' * 70 + b'\\"' * 1_000_000,
])
def test_headers_that_break_a_rule_are_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(ProtocolError):
        unpack_header(text)
    assert time.process_time() - start < 2


def test_brackets_in_texts_and_in_a_row_are_not_depth():
    header = {"t": "x", "a": "[" * 1000 + '\\"' * 10, "b": [[]] * 1000}
    assert unpack_header(json.dumps(header).encode()) == header


def test_depth_is_allowed_up_to_the_limit():
    def nested(levels: int) -> bytes:
        return b'{"t":"x","a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    unpack_header(nested(wire.MAX_DEPTH))
    with pytest.raises(ProtocolError, match="deeper"):
        unpack_header(nested(wire.MAX_DEPTH + 1))


def test_what_is_over_a_limit_is_not_sent(ends):
    left, right = ends
    with pytest.raises(ProtocolError):
        left.send({"t": "x"}, [b""] * (wire.MAX_BUFFERS + 1))
    left.send({"t": "next"})
    assert right.receive(timeout=60)[0] == {"t": "next"}


def test_descriptors_travel_and_are_not_inherited(ends):
    left, right = ends
    reader, writer = os.pipe()
    left.send({"t": "x"}, [b"tail"], fds=[writer])
    os.close(writer)
    assert right.receive(timeout=60)[1] == [b"tail"]
    received = right.take_fd()
    assert fcntl.fcntl(received, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.write(received, b"hello")
    os.close(received)
    assert os.read(reader, 10) == b"hello"
    os.close(reader)
    with pytest.raises(ProtocolError, match="promised"):
        right.take_fd()


def test_descriptors_nobody_takes_are_limited_and_closed(ends):
    left, right = ends
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ProtocolError, match="descriptors"):  # noqa: PT012
        for _ in range(20):
            left.send({"t": "x"}, fds=[0, 0])
            right.receive(timeout=60)
    right.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_reading_without_blocking_says_that_nothing_is_there(ends):
    with pytest.raises(BlockingIOError):
        ends[1].fill(block=False)


def test_a_silent_side_times_out_and_a_gone_one_is_the_end(ends):
    left, right = ends
    with pytest.raises(TimeoutError):
        right.receive(timeout=0.01)
    left.close()
    assert right.receive(timeout=60) is None


def test_a_side_that_drips_bytes_times_out(ends):
    left, right = ends
    stop = threading.Event()

    def drip() -> None:
        frame = pack_frame({"t": "x" * 10_000})
        for byte in frame:
            if stop.wait(0.001):
                return
            left.sock.send(bytes([byte]))

    dripper = threading.Thread(target=drip)
    dripper.start()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        right.receive(timeout=0.1)
    assert time.monotonic() - start < 5
    stop.set()
    dripper.join()


def test_a_side_that_does_not_read_times_out(ends):
    with pytest.raises(TimeoutError, match="does not read"):
        ends[0].send({"t": "x"}, [bytes(8 << 20)], timeout=0.05)


def test_large_frames_pass_while_both_sides_work(ends):
    left, right = ends
    sender = threading.Thread(target=left.send, args=({"t": "x"}, [b"a" * (8 << 20), b"b"]))
    sender.start()
    _, buffers = right.receive(timeout=30)
    sender.join()
    assert [len(buffer) for buffer in buffers] == [8 << 20, 1]
