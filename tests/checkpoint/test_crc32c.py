"""The fast CRC-32C equals the bit-by-bit definition and the vectors of RFC 3720."""

import numpy as np
import pytest

from xlsr.checkpoint.crc32c import crc32c, masked_crc32c


def by_definition(message: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in message:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C), (b"123456789", 0xE3069283), (b"", 0),
    ],
)  # fmt: skip
def test_published_vectors(message: bytes, wanted: int) -> None:
    assert crc32c(np.frombuffer(message, np.uint8)) == wanted


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1000, 65535, 65536, 65537, 65539, 200_001])
def test_the_fast_version_equals_the_definition(size: int) -> None:
    message = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    assert crc32c(message) == by_definition(message.tobytes())


def test_unaligned_memory_makes_no_difference() -> None:
    message = np.random.default_rng(0).integers(0, 256, 300_000).astype(np.uint8)
    assert len({crc32c(np.concatenate([np.zeros(shift, np.uint8), message])[shift:]) for shift in range(4)}) == 1


def test_the_mask_rotates_and_adds() -> None:
    # The example in LevelDB's log: crc 0 is stored as the constant alone.
    assert masked_crc32c(np.zeros(0, np.uint8)) == 0xA282EAD8
    assert masked_crc32c(np.frombuffer(b"123456789", np.uint8)) == (
        ((0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF
    )
