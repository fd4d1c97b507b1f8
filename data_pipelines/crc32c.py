"""CRC-32C (Castagnoli), the checksum of TFRecord files, in NumPy.

Python's zlib knows another polynomial, and a loop over bytes takes minutes for a data
set. Here many stretches of the data advance side by side; their checksums are then
joined pairwise, as a checksum followed by n zero bytes is linear in the checksum.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # bits reversed
MASK = 0xA282EAD8  # added by TFRecord, so that checksums of checksums stay useful
STRETCHES = 1024  # advanced side by side; a power of two
ROUND = 16  # words in a stretch are a multiple of this, so that sizes recur
SHORT = 4096  # bytes below which a plain loop is as fast


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`, 0 <= crc < 2**32."""
    if len(data) < SHORT:
        return _short(data)
    words = -(-len(data) // (4 * STRETCHES * ROUND)) * ROUND  # of each stretch
    padded = np.zeros(4 * words * STRETCHES, np.uint8)  # zeros ahead change nothing
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[-len(data) : 4 - len(data)] ^= 0xFF  # the initial value
    columns = padded.view("<u4").reshape(STRETCHES, words).T
    low, high = _word_tables()
    state = np.zeros(STRETCHES, np.uint32)
    for column in columns:
        state ^= column
        state = low[state & 0xFFFF] ^ high[state >> 16]
    size = 4 * words
    while len(state) > 1:
        state = _followed_by_zeros(state[::2], size) ^ state[1::2]
        size *= 2
    return int(state[0]) ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The CRC-32C of `data` as TFRecord files hold it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _short(data: bytes) -> int:
    table = _byte_table().tolist()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@functools.cache
def _byte_table() -> np.ndarray:
    """uint32 [256]: what a byte becomes after its eight bits."""
    table: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


@functools.cache
def _word_tables() -> tuple[np.ndarray, np.ndarray]:
    """uint32 [65536] each: what a word's lower and upper half become after 32 bits."""
    half = np.arange(65536, dtype=np.uint32)
    return _after_bytes(half, 4), _after_bytes(half << 16, 4)


def _after_bytes(state: np.ndarray, count: int) -> np.ndarray:
    table = _byte_table()
    for _ in range(count):
        state = table[state & 0xFF] ^ (state >> 8)
    return state


def _followed_by_zeros(state: np.ndarray, count: int) -> np.ndarray:
    """Checksums as `count` zero bytes change them."""
    result = np.zeros_like(state)
    for place, table in enumerate(_zeros_tables(count)):
        result ^= table[state >> (8 * place) & 0xFF]
    return result


@functools.lru_cache(maxsize=256)
def _zeros_tables(count: int) -> tuple[np.ndarray, ...]:
    """Four of uint32 [256]: each byte of a checksum after `count` zero bytes."""
    byte = np.arange(256, dtype=np.uint32)
    tables = [byte << (8 * place) for place in range(4)]
    if count % 2 or count == 2:
        return tuple(_after_bytes(table, count) for table in tables)
    half = count // 2
    return tuple(
        _followed_by_zeros(_followed_by_zeros(table, half), half) for table in tables
    )
