"""The relay's stream: sockets, pipes and descriptors across it, in order, bounded, and whatever the other end says."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from codeact.kernel import channel as channel_module
from codeact.kernel import channels as module
from codeact.kernel.channel import Channel
from codeact.kernel.channels import WINDOW, Channels, RelayError
from codeact.kernel.wire import Connection

HEADER = struct.Struct("<BII")


class Pair:
    """Two ends joined by pipes, each served by a thread; `near` and `far` are the sockets that channel 1 joins."""

    def __init__(self) -> None:
        there, back = os.pipe(), os.pipe()
        self.near, one = socket.socketpair()
        self.far, other = socket.socketpair()
        self.ends = [Channels(back[0], there[1], first=1), Channels(there[0], back[1], first=2)]
        self.fds = [*there, *back]
        for end, sock in zip(self.ends, (one, other)):
            end.add(1, sock)
        self.threads = [threading.Thread(target=end.serve, daemon=True) for end in self.ends]
        for thread in self.threads:
            thread.start()
        for sock in (self.near, self.far):
            sock.settimeout(20)

    def close(self) -> None:
        self.near.close()
        self.far.close()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def give(pair: Pair, *fds: int) -> list[int]:
    """Hand descriptors to the far end; what it got."""
    sender, receiver = Connection(pair.near.dup()), Connection(pair.far.dup())
    try:
        sender.send({"t": "spawn"}, fds=fds)
        frame = receiver.receive(timeout=60)
        assert frame is not None
        assert frame[0] == {"t": "spawn"}
        return [receiver.take_fd() for _ in fds]
    finally:
        sender.close()
        receiver.close()


def read_all(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        select.select([fd], [], [], 20)
        more = os.read(fd, 1 << 20)
        assert more, "ended early"
        data += more
    return data


def test_bytes_go_both_ways_and_in_order(pair):
    pair.near.sendall(b"question")
    assert pair.far.recv(100) == b"question"
    data = random.Random(1).randbytes(3_000_000)
    sender = threading.Thread(target=pair.far.sendall, args=(data,))
    sender.start()
    assert read_all(pair.near.fileno(), len(data)) == data
    sender.join()


def test_a_socket_that_is_handed_over_works_at_the_far_end(pair):
    ours, theirs = socket.socketpair()
    (got,) = give(pair, theirs.fileno())
    theirs.close()
    there = socket.socket(fileno=got)
    ours.sendall(b"hello")
    assert there.recv(10) == b"hello"
    there.sendall(b"back")
    assert ours.recv(10) == b"back"
    there.close()
    assert ours.recv(10) == b""
    ours.close()


def test_the_write_end_of_a_pipe_that_is_handed_over_writes_to_its_reader(pair):
    reader, writer = os.pipe()
    (got,) = give(pair, writer)
    os.close(writer)
    os.write(got, b"printed")
    assert os.read(reader, 100) == b"printed"
    os.close(got)
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_writer_learns_that_its_reader_has_gone(pair):
    reader, writer = os.pipe()
    (got,) = give(pair, writer)
    os.close(writer)
    os.close(reader)
    poll = select.poll()
    poll.register(got, 0)
    assert poll.poll(20_000), "nobody said that the reader has gone"
    os.close(got)


def test_the_end_of_a_process_is_told_through_its_pidfd(pair):
    stop, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(stop, 1)
        os._exit(0)
    os.close(stop)
    pidfd = os.pidfd_open(pid)
    (got,) = give(pair, pidfd)
    os.close(pidfd)
    poll = select.poll()
    poll.register(got, select.POLLIN)
    assert poll.poll(50) == []
    os.close(go)
    assert poll.poll(20_000)
    os.waitpid(pid, 0)
    os.close(got)


def test_what_is_printed_comes_before_what_is_said(pair):
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    control, output = give(pair, theirs.fileno(), writer)
    theirs.close()
    os.close(writer)
    os.set_blocking(reader, False)
    there = socket.socket(fileno=control)
    for number in range(300):
        size = random.Random(number).randrange(1, 60_000)
        os.write(output, b"x" * size)
        there.sendall(b"!")
        assert ours.recv(1) == b"!"
        assert len(os.read(reader, 1 << 20)) == size
    there.close()
    ours.close()
    os.close(output)
    os.close(reader)


def test_a_flood_nobody_reads_is_held_back_and_stops_no_other_channel(pair):
    reader, writer = os.pipe()
    (got,) = give(pair, writer)
    os.close(writer)
    os.set_blocking(got, False)
    sent, poll = 0, select.poll()
    poll.register(got, select.POLLOUT)
    while poll.poll(300):
        sent += os.write(got, bytes(65536))
    assert sent < 2 * WINDOW
    pair.far.sendall(b"still here")
    assert pair.near.recv(100) == b"still here"
    assert len(read_all(reader, sent)) == sent
    os.close(got)
    os.close(reader)


def test_a_socket_goes_on_alone_where_nobody_reads_what_was_printed(pair):
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    control, output = give(pair, theirs.fileno(), writer)
    theirs.close()
    os.close(writer)
    os.set_blocking(output, False)
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    while poll.poll(300):
        os.write(output, bytes(65536))
    there = socket.socket(fileno=control)
    there.sendall(b"checkpointed")
    ours.settimeout(20)
    assert ours.recv(100) == b"checkpointed"
    there.close()
    ours.close()
    os.close(output)
    os.close(reader)


def test_the_end_of_channel_1_ends_both_relays():
    pair = Pair()
    pair.near.close()
    assert pair.far.recv(1) == b""
    pair.close()


# Hostile streams ------------------------------------------------------------------------------------------------------


def serve(data: bytes) -> tuple[RelayError | None, int]:
    """A host's end that reads this and then the end of the stream: what it raised, and descriptors it left open."""
    reader, writer = os.pipe()
    sink, out = os.pipe()
    near, one = socket.socketpair()
    before = len(os.listdir("/proc/self/fd"))
    end = Channels(reader, out, first=1)
    end.add(1, one)
    raised = None

    def feed() -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(writer, view[:65536]):]
        except OSError:
            pass
        os.close(writer)

    feeder = threading.Thread(target=feed)
    feeder.start()
    drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(sink, 65536), b"")])
    drain.start()
    try:
        end.serve()
    except RelayError as error:
        raised = error
    finally:
        os.close(reader)
        os.close(out)
        feeder.join(20)
        drain.join(20)
        os.close(sink)
        near.close()
    return raised, len(os.listdir("/proc/self/fd")) - before


@pytest.mark.parametrize(("data", "words"), [
    (HEADER.pack(9, 1, 0), "no sense"),
    (HEADER.pack(module.DATA, 1, 1 << 31), "no sense"),
    (HEADER.pack(module.DATA, 77, 1) + b"x", "nobody opened"),
    (HEADER.pack(module.CLOSE, 4, 0), "nobody opened"),
    (HEADER.pack(module.CREDIT, 1, 1), "never sent"),
    (HEADER.pack(module.CREDIT, 1, 0xFFFFFFFF), "never sent"),
    (HEADER.pack(module.GIVE, 1, 5) + struct.pack("<BI", 1, 3), "not the other end's"),
    (HEADER.pack(module.GIVE, 1, 5) + struct.pack("<BI", 9, 2), "no known sort"),
    (HEADER.pack(module.GIVE, 1, 3) + b"abc", "too many"),
    (HEADER.pack(module.GIVE, 1, 25) + b"".join(struct.pack("<BI", 1, 2 * i) for i in range(1, 6)), "cannot carry"),
    ((HEADER.pack(module.DATA, 1, 65536) + bytes(65536)) * 40, "more bytes"),
    (HEADER.pack(module.DATA, 1, 0), "or none"),
])  # fmt: skip
def test_a_rule_that_is_broken_ends_all_and_nothing_stays_open(data, words):
    raised, left = serve(data)
    assert words in str(raised)
    assert left <= 0


def test_channels_are_counted():
    data = b"".join(HEADER.pack(module.GIVE, 1, 5) + struct.pack("<BI", 1, 2 * i) + HEADER.pack(module.DATA, 1, 1) + b"x" for i in range(1, 4000))
    raised, left = serve(data)
    assert raised is not None
    assert left <= 0


def test_an_end_takes_no_more_descriptors_to_hand_on_than_there_may_be_channels(monkeypatch):
    monkeypatch.setattr(module, "MAX_CHANNELS", 1)
    read, write = os.pipe()
    end, ours, theirs = Channels(read, write, first=1), *socket.socketpair()
    end.add(1, ours)
    extra = os.dup(read)
    with pytest.raises(RelayError, match="more than 1 channels"):
        end._give(extra)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(extra)
    for channel in end._channels.values():
        module.close(channel)
    theirs.close()
    os.close(read)
    os.close(write)


def test_descriptors_that_nobody_takes_are_counted_though_their_channels_are_over():
    give = b"".join(HEADER.pack(module.GIVE, 1, 5) + struct.pack("<BI", 1, 2 * i) + HEADER.pack(module.DATA, 1, 1) + b"x"
                    + HEADER.pack(module.CLOSE, 2 * i, 0) for i in range(1, 4000))
    raised, left = serve(give)
    assert "too many descriptors" in str(raised)
    assert left <= 0


def test_very_many_small_messages_take_no_more_room_than_a_large_one():
    ours, theirs = socket.socketpair()
    channel = Channel(1, ours.detach(), sock=True, reads=True)
    pipe = Channel(2, os.dup(theirs.fileno()), sock=False, reads=True)
    channel.before = pipe
    try:
        for number in range(50_000):
            channel.put(b"x", number)   # each waits for something else
        assert len(channel.out) <= channel_module.MAX_APART
        assert channel.waiting == sum(len(item[0]) for item in channel.out) == 50_000
        assert channel.out[-1][2] == 49_999
    finally:
        theirs.close()
        module.close(channel)
        module.close(pipe)


def test_an_end_that_has_us_answer_and_reads_no_answer_costs_no_memory(monkeypatch):
    monkeypatch.setattr(module, "_OUTBOX_MOST", 1 << 14)
    there, back, (near, one) = os.pipe(), os.pipe(), socket.socketpair()
    end = Channels(there[0], back[1], first=1)
    end.add(1, one)

    def give(on: int, number: int) -> bytes:
        return HEADER.pack(module.GIVE, on, 5) + struct.pack("<BI", module.WATCH, number)

    def ask_for_ever() -> None:
        for number in range(4, 100_000, 2):   # each opens a channel whose reader is gone at once
            os.write(there[1], give(2, number))
            end._step()
            end._step()

    try:
        os.write(there[1], give(1, 2) + HEADER.pack(module.DATA, 1, 1) + b"x" + HEADER.pack(module.CLOSE, 2, 0))
        end._step()
        near.recv(10)
        with pytest.raises(RelayError, match="does not read"):
            ask_for_ever()
    finally:
        near.close()
        for channel in end._channels.values():
            module.close(channel)
        for fd in (*there, *back):
            os.close(fd)


def test_noise_is_survived():
    dice = random.Random(4)
    for _ in range(100):
        _, left = serve(dice.randbytes(dice.randrange(1, 400)))
        assert left <= 0


def test_messages_in_any_order_are_survived():
    dice = random.Random(5)
    for _ in range(150):
        data = b""
        for _ in range(dice.randrange(1, 40)):
            kind, number = dice.randrange(1, 5), dice.choice([1, 1, 2, 4, 6, 3])
            body = dice.randbytes(dice.randrange(0, 50))
            if kind == module.GIVE:
                body = b"".join(struct.pack("<BI", dice.randrange(1, 4), 2 * dice.randrange(1, 30)) for _ in range(dice.randrange(0, 4)))
            data += HEADER.pack(kind, number, len(body)) + (body if kind in (module.DATA, module.GIVE) else b"")
        _, left = serve(data)
        assert left <= 0
