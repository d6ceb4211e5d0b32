"""A stream that is read ahead gives what the stream gives, and ends with it."""

import io
import threading

import pytest

from posguard.logs.ahead import Ahead


class Counted(io.RawIOBase):
    """Gives `pieces`, one at a time; an exception among them is raised."""

    damage = "somewhere"

    def __init__(self, pieces):
        super().__init__()
        self.pieces, self.given = list(pieces), 0

    def readinto(self, target):
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        target[: len(piece)] = piece
        self.given += 1
        return len(piece)


def threads():
    return [one for one in threading.enumerate() if one.name == "posguard-log-ahead"]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_it_gives_every_byte_in_order_and_then_nothing(size):
    pieces = [bytes([number % 251]) * (number % 16 + 1) for number in range(100)]
    stream = Ahead(Counted(pieces), block=16)
    target, found = bytearray(size), b""
    while got := stream.readinto(memoryview(target)):
        found += target[:got]
    assert found == b"".join(pieces)
    assert stream.readinto(memoryview(target)) == 0
    assert stream.damage == "somewhere"
    stream.close()


@pytest.mark.parametrize("size", [3, 10])
def test_what_reading_raises_comes_after_what_stands_before(size):
    stream = Ahead(Counted([b"one", ValueError("torn")]), block=16)
    target = bytearray(size)
    assert stream.readinto(memoryview(target)) == 3
    with pytest.raises(ValueError, match="torn"):
        stream.readinto(memoryview(target))
    assert stream.readinto(memoryview(target)) == 0
    stream.close()


def test_closed_in_the_middle_it_ends_its_thread_and_closes_what_it_reads():
    beneath = Counted([b"x" * 16] * 1000)
    stream = Ahead(beneath, block=16)
    stream.readinto(memoryview(bytearray(1)))
    stream.close()
    assert beneath.closed
    assert beneath.given < 10
    assert threads() == []
    stream.close()
