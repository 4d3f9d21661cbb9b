"""CRC-32C of hundreds of megabytes in NumPy. Floor 3; knows no file format.

A CRC without its initial value is linear over GF(2), and leading zero bytes do not change it. So the message is
folded row by row: all words of a row go on by one row's length at once (a linear map, two table look-ups a word),
then the next row is added; what remains is halved down to one word. A look-up for each byte of the message in turn
would take minutes a gigabyte; this takes about a second.

Source: RFC 3720, appendix B.4 (polynomial and test vectors); LevelDB's log format for the mask.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reversed
_ROW_BITS = 16  # rows of 64 KiB: they and the tables of 256 KiB stay in the cache
_MASK_DELTA = 0xA282EAD8


def crc32c(message: NDArray[np.uint8]) -> int:
    """Return the CRC-32C of the bytes of a one-dimensional array, in [0, 2**32)."""
    assert message.dtype == np.uint8
    assert message.ndim == 1
    size = len(message)
    return _skip_zeros(0xFFFFFFFF, size) ^ _linear_crc(message) ^ 0xFFFFFFFF


def masked_crc32c(message: NDArray[np.uint8]) -> int:
    """Return the CRC-32C as LevelDB and TensorFlow store it: rotated right by 15 bits, plus a constant."""
    crc = crc32c(message)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _linear_crc(message: NDArray[np.uint8]) -> int:
    """The CRC with initial value 0 and no final inversion."""
    bits = min(_ROW_BITS, max(2, (len(message) - 1).bit_length()))
    row = 1 << bits
    head = len(message) % row
    first = np.zeros(row, np.uint8)
    first[row - head :] = message[:head]
    state: Words = first.view("<u4").astype(np.uint32)
    if len(message) >= row:
        low, high = _wide_tables(bits)
        from_low, from_high = np.empty_like(state), np.empty_like(state)
        for start in range(head, len(message), row):
            np.take(low, state & np.uint32(0xFFFF), out=from_low, mode="wrap")
            np.take(high, state >> np.uint32(16), out=from_high, mode="wrap")
            np.bitwise_xor(from_low, from_high, out=state)
            state ^= message[start : start + row].view("<u4")
    while bits > 2:
        bits -= 1
        half = len(state) // 2
        state = _advance(bits, state[:half]) ^ state[half:]
    return int(_advance(2, state)[0])


def _skip_zeros(state: int, count: int) -> int:
    """The state after this many zero bytes."""
    words = np.array([state], np.uint32)
    for bits in range(count.bit_length()):
        if count >> bits & 1:
            words = _advance(bits, words)
    return int(words[0])


def _advance(bits: int, states: Words) -> Words:
    """Each state after 2**bits zero bytes."""
    tables = _byte_tables(bits)
    found: Words = tables[0][states & np.uint32(0xFF)]
    for place in (1, 2, 3):
        found = found ^ tables[place][states >> np.uint32(8 * place) & np.uint32(0xFF)]
    return found


@cache
def _images(bits: int) -> Words:
    """(32,): where 2**bits zero bytes take each of the 32 states of one bit."""
    units = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if bits:
        return _advance(bits - 1, _images(bits - 1))
    for _ in range(8):
        units = np.where(units & np.uint32(1), units >> np.uint32(1) ^ np.uint32(_POLYNOMIAL), units >> np.uint32(1))
    return units


@cache
def _byte_tables(bits: int) -> tuple[Words, ...]:
    """Four tables of 256 states: where 2**bits zero bytes take the values of each byte of a state."""
    return tuple(_span(_images(bits)[start : start + 8]) for start in range(0, 32, 8))


@cache
def _wide_tables(bits: int) -> tuple[Words, Words]:
    """Two tables of 65536 states: the same for the lower and the upper half of a state."""
    return _span(_images(bits)[:16]), _span(_images(bits)[16:])


def _span(images: Words) -> Words:
    """(2**n,): the sums of all subsets of n images, the subset being the index."""
    table = np.zeros(1, np.uint32)
    for image in images:
        table = np.concatenate([table, table ^ image])
    return table
