"""Deflate (RFC 1951) undone by code that numba compiles: a seventh less time than the best library takes.

Counts of a camera are mostly one literal and a short match in turn, which no processor can foresee. So one
look-up takes both, wherever their bits fit in twelve, and the next look-up begins before the register
is filled again: what remains is a chain of two loads for each pair.

What is odd, damaged or built to be slow is not judged here but given up: a library says then what it is.

The code reads and writes by address. The quick loop runs only as long as it has so much of the input before
it and so much room behind it as one step can take at most; the rest is done byte by byte, every one checked.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

TRUNCATED, DAMAGED, TOO_LONG, TOO_SHORT, TOO_SLOW = -1, -2, -3, -4, -5

_LOOK, _FAR_LOOK = 12, 9  # bits of a look-up: larger tables leave the first cache
_END_OF_BLOCK, _LITERALS = 256, 256
_LENGTHS, _DISTANCES = 29, 30
_MARGIN_IN, _MARGIN_OUT = 16, 300  # a step takes 7 bytes at most, and makes 266
_LEAST_BLOCK = 512  # packed bytes: making a block's tables takes as long as so much data

# RFC 1951, section 3.2.5: least length and distance of each code, and the bits that say how much more.
_LENGTH = np.array(
    [*range(3, 11), *(((4 + n) << more) + 3 for more in range(1, 6) for n in range(4)), 258], np.uint64
)
_LENGTH_MORE = np.array([0] * 8 + [more for more in range(1, 6) for _ in range(4)] + [0], np.uint64)
_DISTANCE = np.array(
    [1, 2, 3, 4] + [(2 + odd) * (1 << more) + 1 for more in range(1, 14) for odd in (0, 1)], np.uint64
)
_DISTANCE_MORE = np.array([0, 0, 0, 0] + [more for more in range(1, 14) for _ in (0, 1)], np.uint64)
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)

_0, _1, _2, _3, _7, _8, _16 = (np.uint64(number) for number in (0, 1, 2, 3, 7, 8, 16))
_4, _5, _10, _14, _56, _63 = (np.uint64(number) for number in (4, 5, 10, 14, 56, 63))
_LOOK_MASK, _FAR_MASK = np.uint64((1 << _LOOK) - 1), np.uint64((1 << _FAR_LOOK) - 1)

# An entry of the first table: bits taken (6), whether a match ends it (1), literals before that (2), the
# first of them (8), length of the match or second literal (9). Of the other: bits taken with those that
# say how much more (6), bits of the code alone (4), least distance (15). Zero: to be done by hand.
_MATCH, _LITERAL_ONCE, _LITERAL_TWICE = np.uint32(1 << 6), np.uint32(1 << 7), np.uint32(2 << 7)
_TAKEN = np.uint32(63)
_COUNT_AT, _FIRST_AT, _SECOND_AT = np.uint64(7), np.uint64(9), np.uint64(17)
_FAR_CODE_AT, _FAR_LEAST_AT, _FAR_CODE_MASK = np.uint64(6), np.uint64(10), np.uint64(15)


def _pointer(builder: Any, address: Any, bits: int) -> Any:
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


@intrinsic
def _load_word(_: Any, address: Any) -> Any:
    """Eight bytes at an address, the first the lowest."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], 64), align=1)

    return numba.uint64(numba.uint64), generate


@intrinsic
def _load_byte(_: Any, address: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(_pointer(builder, arguments[0], 8), align=1), ir.IntType(64))

    return numba.uint64(numba.uint64), generate


@intrinsic
def _store_word(_: Any, address: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _pointer(builder, arguments[0], 64), align=1)
        return context.get_dummy_value()

    return numba.void(numba.uint64, numba.uint64), generate


@intrinsic
def _store_byte(_: Any, address: Any, word: Any) -> Any:
    """Store the lowest byte of a word."""

    def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        low = builder.trunc(arguments[1], ir.IntType(8))
        builder.store(low, _pointer(builder, arguments[0], 8), align=1)
        return context.get_dummy_value()

    return numba.void(numba.uint64, numba.uint64), generate


@numba.njit
def _fill(word, bits, at, end):
    """Take whole bytes into the register as long as there is room for one, and one there."""
    while bits <= _56 and at < end:
        word |= _load_byte(at) << bits
        at += _1
        bits += _8
    return word, bits, at


@numba.njit
def _symbol(word, counts, symbols):
    """The symbol whose code a register begins with, bit by bit, and the code's length; 99 when none."""
    code = first = index = 0
    for length in range(1, 16):
        code |= np.int64(word & _1)
        word >>= _1
        if code - counts[length] < first:
            return symbols[index + code - first], np.uint64(length)
        index += counts[length]
        first = (first + counts[length]) << 1
        code <<= 1
    return -1, np.uint64(99)


@numba.njit
def _next_code(code, length):
    """The code after one of `length` bits, both with their first bit lowest; also as a longer one."""
    bit = 1 << (length - 1)
    while code & bit:
        code ^= bit
        bit >>= 1
    return code | bit


@numba.njit
def _order_codes(lengths, start, count, counts, symbols):
    """Sort symbols by their codes; return what share of all codes is left over, negative when too many."""
    counts[:] = 0
    for n in range(count):
        counts[lengths[start + n]] += 1
    counts[0] = 0
    left = 1
    for length in range(1, 16):
        left = (left << 1) - counts[length]
        if left < 0:
            return left
    place = np.zeros(17, np.int64)
    for length in range(1, 16):
        place[length + 1] = place[length] + counts[length]
    for n in range(count):
        length = lengths[start + n]
        if length:
            symbols[place[length]] = n
            place[length] += 1
    return left


@numba.njit
def _put_length(table, bits, symbol, code, length):
    """Enter a match's length wherever its code and the bits after it fit in a table of so many bits."""
    more = np.int64(_LENGTH_MORE[symbol - _LITERALS - 1])
    taken = length + more
    if taken <= bits:
        least = np.int64(_LENGTH[symbol - _LITERALS - 1])
        for extra in range(1 << more):
            entry = np.uint32(taken) | _MATCH | np.uint32((least + extra) << 17)
            for n in range(code | extra << length, 1 << bits, 1 << taken):
                table[np.uint64(n)] = entry


@numba.njit
def _make_table(counts, symbols, table, short, follows):
    """Enter literals, lengths, and literals with what follows them.

    `short` is made on the way: single symbols alone, for as many bits as a literal can leave.
    """
    least = 0  # bits of a literal
    at = 0
    for length in range(1, _LOOK):
        for n in range(at, at + counts[length]):
            if symbols[n] < _LITERALS and least == 0:
                least = length
        at += counts[length]
    room = _LOOK - least if least else 0
    short[: 1 << room] = 0
    at = code = 0
    for length in range(1, room + 1):
        for n in range(at, at + counts[length]):
            symbol = symbols[n]
            if symbol < _LITERALS:
                entry = np.uint32(length) | _LITERAL_ONCE | np.uint32(symbol << 9)
                for place in range(code, 1 << room, 1 << length):
                    short[np.uint64(place)] = entry
            elif _END_OF_BLOCK < symbol <= _END_OF_BLOCK + _LENGTHS:
                _put_length(short, room, symbol, code, length)
            code = _next_code(code, length)
        at += counts[length]
    table[:] = 0
    at = code = 0
    for length in range(1, _LOOK + 1):
        left = _LOOK - length
        for n in range(1 << min(left, room)):
            follows[n] = _as_follower(short[n], left)
        for n in range(at, at + counts[length]):
            symbol = symbols[n]
            if symbol < _LITERALS:
                entry = np.uint32(length) | _LITERAL_ONCE | np.uint32(symbol << 9)
                for after in range(1 << left):
                    table[np.uint64(code | after << length)] = entry + follows[np.uint64(after)]
            elif _END_OF_BLOCK < symbol <= _END_OF_BLOCK + _LENGTHS:
                _put_length(table, _LOOK, symbol, code, length)
            code = _next_code(code, length)
        at += counts[length]


@numba.njit
def _as_follower(entry, left):
    """What a symbol adds to the entry of a literal that leaves it so many bits; nothing if it wants more."""
    taken = entry & _TAKEN
    if taken == 0 or taken > left:
        return np.uint32(0)
    if entry & _MATCH:
        return entry
    return np.uint32(taken + _LITERAL_ONCE + ((entry >> np.uint32(9)) << np.uint32(17)))


@numba.njit
def _make_far_table(counts, symbols, table):
    """Enter the codes of distances."""
    table[:] = 0
    at = code = 0
    for length in range(1, _FAR_LOOK + 1):
        for n in range(at, at + counts[length]):
            symbol = symbols[n]
            if symbol < _DISTANCES:
                more, least = np.int64(_DISTANCE_MORE[symbol]), np.int64(_DISTANCE[symbol])
                entry = np.uint32(length + more) | np.uint32(length << 6) | np.uint32(least << 10)
                for place in range(code, 1 << _FAR_LOOK, 1 << length):
                    table[np.uint64(place)] = entry
            code = _next_code(code, length)
        at += counts[length]


@numba.njit
def _read_lengths(word, bits, at, end, lengths, counts, symbols):
    """Read the lengths of a block's codes (section 3.2.7); the first of what is returned is negative on error."""
    word, bits, at = _fill(word, bits, at, end)
    if bits < _14:
        return TRUNCATED, 0, word, bits, at
    literals = np.int64(word & np.uint64(31)) + 257
    distances = np.int64((word >> _5) & np.uint64(31)) + 1
    known = np.int64((word >> _10) & np.uint64(15)) + 4
    word >>= _14
    bits -= _14
    if literals > _LITERALS + 1 + _LENGTHS or distances > _DISTANCES:
        return DAMAGED, 0, word, bits, at
    lengths[:19] = 0
    for n in range(known):
        word, bits, at = _fill(word, bits, at, end)
        if bits < _3:
            return TRUNCATED, 0, word, bits, at
        lengths[_ORDER[n]] = np.int64(word & _7)
        word >>= _3
        bits -= _3
    if _order_codes(lengths, 0, 19, counts, symbols) != 0:
        return DAMAGED, 0, word, bits, at
    n, last, total = 0, 0, literals + distances
    while n < total:
        word, bits, at = _fill(word, bits, at, end)
        symbol, taken = _symbol(word, counts, symbols)
        if symbol < 0:
            return DAMAGED, 0, word, bits, at
        times, more = 1, _0
        if symbol < 16:
            last = symbol
        elif symbol == 16:
            if n == 0:
                return DAMAGED, 0, word, bits, at
            times, more = 3, _2
        else:
            last = 0
            if symbol == 17:
                times, more = 3, _3
            else:
                times, more = 11, _7
        if taken + more > bits:
            return TRUNCATED, 0, word, bits, at
        times += np.int64((word >> taken) & ((_1 << more) - _1))
        word >>= taken + more
        bits -= taken + more
        if n + times > total:
            return DAMAGED, 0, word, bits, at
        lengths[n : n + times] = last
        n += times
    return literals, distances, word, bits, at


@numba.njit
def _quickly(word, bits, at, quick_end, target, to, quick_stop, table, far):
    """Do what the tables hold, until something else comes or the margins are reached; `to` 0 on error."""
    word |= _load_word(at) << bits
    at += (_63 - bits) >> _3
    bits |= _56
    entry = np.uint64(table[word & _LOOK_MASK])
    # Of `bits` only the lowest six count in here: what else an entry holds may run off above.
    while at < quick_end and to < quick_stop:
        if entry & np.uint64(_MATCH):
            before = word >> (entry & _63)
            far_entry = np.uint64(far[before & _FAR_MASK])
            if far_entry == _0:
                break
            word = before >> (far_entry & _63)
            bits -= entry
            bits -= far_entry
            _store_byte(to, entry >> _FIRST_AT)
            to += (entry >> _COUNT_AT) & _3
            length = entry >> _SECOND_AT
            more = before & ((_1 << (far_entry & _63)) - _1)
            distance = (far_entry >> _FAR_LEAST_AT) + (more >> ((far_entry >> _FAR_CODE_AT) & _FAR_CODE_MASK))
            entry = np.uint64(table[word & _LOOK_MASK])
            word |= _load_word(at) << (bits & _63)
            at += (~bits & _63) >> _3
            bits |= _56
            if distance > to - target:
                return word, bits, at, _0
            origin = to - distance
            if distance >= _8:
                _store_word(to, _load_word(origin))
                _store_word(to + _8, _load_word(origin + _8))
                done = _16
                while done < length:
                    _store_word(to + done, _load_word(origin + done))
                    done += _8
            else:
                for n in range(length):
                    _store_byte(to + np.uint64(n), _load_byte(origin + np.uint64(n)))
            to += length
        elif entry != _0:
            word >>= entry & _63
            bits -= entry
            _store_byte(to, entry >> _FIRST_AT)
            _store_byte(to + _1, entry >> _SECOND_AT)
            to += (entry >> _COUNT_AT) & _3
            entry = np.uint64(table[word & _LOOK_MASK])
            word |= _load_word(at) << (bits & _63)
            at += (~bits & _63) >> _3
            bits |= _56
        else:
            break
    return word, bits & _63, at, to


@numba.njit(nogil=True, cache=True)
def inflate(source, packed, target, unpacked):
    """Undo deflate.

    Parameters
    ----------
    source, packed : uint64
        Address and number of the bytes to read; what follows them is never read.
    target, unpacked : uint64
        Address of the memory to write, and the number of bytes that the data must come to.

    Returns
    -------
    int
        Bytes read; negative when the data is not whole, not sound, of another length, or such that a
        library does it faster. What lies in the target then means nothing.
    """
    table = np.empty(1 << _LOOK, np.uint32)
    short, follows = np.empty(1 << _LOOK, np.uint32), np.empty(1 << _LOOK, np.uint32)
    far = np.empty(1 << _FAR_LOOK, np.uint32)
    lengths = np.zeros(320, np.int64)
    counts, symbols = np.zeros(16, np.int64), np.zeros(320, np.int64)
    far_counts, far_symbols = np.zeros(16, np.int64), np.zeros(320, np.int64)
    end, stop = source + packed, target + unpacked
    quick_end = end - np.uint64(min(packed, _MARGIN_IN))
    quick_stop = stop - np.uint64(min(unpacked, _MARGIN_OUT))
    patience = packed // _LEAST_BLOCK + 64
    by_hand = packed // 8 + 4096
    word, bits, at, to = _0, _0, source, target
    is_last = False
    while not is_last:
        if patience == 0:
            return TOO_SLOW
        patience -= 1
        word, bits, at = _fill(word, bits, at, end)
        if bits < _3:
            return TRUNCATED
        is_last, kind = word & _1 == _1, (word >> _1) & _3
        word >>= _3
        bits -= _3
        if kind == _0:  # stored
            at -= bits >> _3
            word, bits = _0, _0
            if end - at < _4:
                return TRUNCATED
            size = _load_byte(at) | _load_byte(at + _1) << _8
            if size != (_load_byte(at + _2) | _load_byte(at + _3) << _8) ^ np.uint64(0xFFFF):
                return DAMAGED
            at += _4
            if end - at < size:
                return TRUNCATED
            if stop - to < size:
                return TOO_LONG
            for n in range(size):
                _store_byte(to + np.uint64(n), _load_byte(at + np.uint64(n)))
            at += size
            to += size
            continue
        if kind == _3:
            return DAMAGED
        if kind == _1:
            literals, distances = 288, 32
            lengths[:144], lengths[144:256], lengths[256:280], lengths[280:288] = 8, 9, 7, 8
            lengths[288:320] = 5
        else:
            literals, distances, word, bits, at = _read_lengths(word, bits, at, end, lengths, counts, symbols)
            if literals < 0:
                return literals
        if lengths[_END_OF_BLOCK] == 0 or _order_codes(lengths, 0, literals, counts, symbols) != 0:
            return DAMAGED
        left = _order_codes(lengths, literals, distances, far_counts, far_symbols)
        if left < 0 or (left > 0 and far_counts[2:].any()):  # only one code of one bit may stand alone
            return DAMAGED
        _make_table(counts, symbols, table, short, follows)
        _make_far_table(far_counts, far_symbols, far)
        while True:
            if at < quick_end and to < quick_stop:
                word, bits, at, to = _quickly(word, bits, at, quick_end, target, to, quick_stop, table, far)
                if to == _0:
                    return DAMAGED
            # One symbol with care.
            if by_hand == 0:
                return TOO_SLOW
            by_hand -= 1
            word, bits, at = _fill(word, bits, at, end)
            symbol, taken = _symbol(word, counts, symbols)
            if symbol < 0:
                return DAMAGED
            if taken > bits:
                return TRUNCATED
            word >>= taken
            bits -= taken
            if symbol < _LITERALS:
                if to >= stop:
                    return TOO_LONG
                _store_byte(to, np.uint64(symbol))
                to += _1
                continue
            if symbol == _END_OF_BLOCK:
                break
            if symbol > _END_OF_BLOCK + _LENGTHS:
                return DAMAGED
            more = _LENGTH_MORE[symbol - _LITERALS - 1]
            length = _LENGTH[symbol - _LITERALS - 1] + (word & ((_1 << more) - _1))
            if more > bits:
                return TRUNCATED
            word >>= more
            bits -= more
            word, bits, at = _fill(word, bits, at, end)
            symbol, taken = _symbol(word, far_counts, far_symbols)
            if symbol < 0 or symbol >= _DISTANCES:
                return DAMAGED
            more = _DISTANCE_MORE[symbol]
            if taken + more > bits:
                return TRUNCATED
            distance = _DISTANCE[symbol] + ((word >> taken) & ((_1 << more) - _1))
            word >>= taken + more
            bits -= taken + more
            if distance > to - target:
                return DAMAGED
            if stop - to < length:
                return TOO_LONG
            for n in range(length):
                _store_byte(to + np.uint64(n), _load_byte(to - distance + np.uint64(n)))
            to += length
    if to != stop:
        return TOO_SHORT
    return np.int64(at - (bits >> _3) - source)
