"""Inner loops that numba's own vectoriser does not find, written for LLVM as vectors of sixteen.

Products of int8 and int16 are added in int32, neighbours first: LLVM turns that shape into one
instruction where the processor has one (pmaddwd, vpdpwssd). From Python's integers numba makes
products of 64 bits, five times slower.
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROWS = 8  # tokens that `add_rows` takes at once
STEP = 64  # numbers of a token in a round of `dots`
AHEAD = 8192  # bytes; processors foresee no further than a page of 4096
_WORD, _INT, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, 16), ir.VectorType(_FLOAT, 16)


@intrinsic
def dots(_: Any, values: Any, row: Any, other: Any, one: Any) -> Any:
    """Dots of two rows of a matrix with a vector; as `four_dots`."""
    return _dots(values, [one])


@intrinsic
def four_dots(_: Any, values: Any, row: Any, other: Any, one: Any, two: Any) -> Any:
    """row . one, row . two, other . one, other . two for two rows of a matrix.

    Its width is a multiple of STEP. int8 with int16 to int32, which the sums must fit; or float32
    throughout. The rows are read at once: each piece of a vector serves both.
    """
    return _dots(values, [one, two])


def _dots(values: Any, queries: list[Any]) -> Any:
    is_whole, count = values.dtype == types.int8, 2 * len(queries)
    kind = types.int32 if is_whole else types.float32
    signature = types.UniTuple(kind, count)(values, types.intp, types.intp, *queries)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        matrix, *queries = (
            _array(context, code, signature, given, at) for at in (0, *range(3, len(given)))
        )
        tokens = [_row(code, matrix, number) for number in given[1:3]]
        width, size = code.extract_value(matrix.shape, 1), 1 if is_whole else 4
        step = 32 if is_whole else 16

        def products(at: Any) -> list[Any]:
            found, both = [], code.mul(at, ir.Constant(_WORD, 2))
            for line in range(0, 2 * STEP, 64 // size):  # as memory lies, not row by row
                _prefetch(code, tokens[0], code.add(both, ir.Constant(_WORD, line)))
            for first in range(0, STEP, step):
                place = code.add(at, ir.Constant(_WORD, first))
                for token in tokens:
                    found += [_product(code, token, each.data, place, is_whole) for each in queries]
            return found

        lanes = _INTS if is_whole else _FLOATS
        sums = _loop(code, width, STEP, count * STEP // step, lanes, products)
        totals = [_total(code, sums[at::count]) for at in range(count)]
        return context.make_tuple(code, signature.return_type, totals)

    return signature, generate


@intrinsic
def three_sums(
    _: Any, rows: Any, start: Any, apart: Any, weights: Any, size: Any, sums: Any
) -> Any:
    """sums[m] = sum over k of rows[start + m apart + k] * weights[k], lane by lane; m = 0, 1, 2.

    All are flat arrays of rows of sixteen, float32 but for `rows`, which may be int16; `size`
    numbers of `weights` are meant, not 0.
    """
    signature = types.void(rows, types.intp, types.intp, weights, types.intp, sums)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        data, by, into = (_array(context, code, signature, given, at).data for at in (0, 3, 5))
        starts = [code.add(given[1], code.mul(given[2], ir.Constant(_WORD, m))) for m in range(3)]

        def products(at: Any) -> list[Any]:
            weight = _load(code, by, at, _FLOATS)
            numbers = [_numbers(code, data, code.add(start, at)) for start in starts]
            return [code.fmul(number, weight, flags=["fast"]) for number in numbers]

        for m, total in enumerate(_loop(code, given[4], 16, 3, _FLOATS, products)):
            place = code.gep(into, [ir.Constant(_WORD, 16 * m)])
            code.store(total, code.bitcast(place, _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def ask(_: Any, numbers: Any, at: Any) -> Any:
    """Ask for the memory of numbers[at] without waiting for it; any `at` will do."""
    signature = types.void(numbers, types.intp)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        _prefetch(code, _array(context, code, signature, given, 0).data, given[1], 0)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_rows(_: Any, values: Any, row: Any, weights: Any, total: Any) -> Any:
    """total += sum of weights[f] * values[row + f], f < ROWS; the width is a multiple of STEP."""
    signature = types.void(values, types.intp, weights, total)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        matrix, by, into = (_array(context, code, signature, given, at) for at in (0, 2, 3))
        numbers = [code.add(given[1], ir.Constant(_WORD, f)) for f in range(ROWS)]
        tokens = [_row(code, matrix, number) for number in numbers]
        factors = [_spread(code, by.data, f) for f in range(ROWS)]

        def add(at: Any) -> list[Any]:
            for first in range(0, STEP, 16):
                place = code.add(at, ir.Constant(_WORD, first))
                sum_ = _load(code, into.data, place, _FLOATS)
                for token, factor in zip(tokens, factors, strict=True):
                    x = _numbers(code, token, place)
                    sum_ = _add(code, sum_, code.fmul(x, factor, flags=["fast"]))
                to = code.bitcast(code.gep(into.data, [place]), _FLOATS.as_pointer())
                code.store(sum_, to).align = 4
            return []

        _loop(code, code.extract_value(matrix.shape, 1), STEP, 0, _FLOATS, add)
        return context.get_dummy_value()

    return signature, generate


def _spread(code: Any, data: Any, at: int) -> Any:
    """One number in all lanes."""
    one = code.load(code.gep(data, [ir.Constant(_WORD, at)]))
    lane = code.insert_element(ir.Constant(_FLOATS, ir.Undefined), one, ir.Constant(_INT, 0))
    return _pick(code, lane, [0] * 16)


def _numbers(code: Any, data: Any, place: Any) -> Any:
    """Sixteen numbers as float32."""
    kind = data.type.pointee
    found = _load(code, data, place, ir.VectorType(kind, 16))
    return found if kind == _FLOAT else code.sitofp(code.sext(found, _INTS), _FLOATS)


def _loop(code: Any, end: Any, step: int, count: int, kind: Any, products: Any) -> list[Any]:
    """`count` sums of what `products(at)` gives for at = 0, step, ... below `end`, not 0."""
    before, body, after = code.block, *(code.append_basic_block() for _ in range(2))
    code.branch(body)
    code.position_at_end(body)
    at, *kept = (code.phi(each) for each in [_WORD, *[kind] * count])
    sums = [_add(code, old, new) for old, new in zip(kept, products(at), strict=True)]
    following = code.add(at, ir.Constant(_WORD, step))
    for phi, new in zip([at, *kept], [following, *sums], strict=True):
        phi.add_incoming(ir.Constant(phi.type, None), before)
        phi.add_incoming(new, body)
    code.cbranch(code.icmp_signed("<", following, end), body, after)
    code.position_at_end(after)
    return sums


def _product(code: Any, token: Any, query: Any, place: Any, is_whole: bool) -> Any:
    """16 products; or of int8 and int16 32, neighbours added."""
    if not is_whole:
        x, y = (_load(code, each, place, _FLOATS) for each in (token, query))
        return code.fmul(x, y, flags=["fast"])
    wide = ir.VectorType(_INT, 32)
    x, y = (
        code.sext(_load(code, each, place, ir.VectorType(ir.IntType(bits), 32)), wide)
        for each, bits in ((token, 8), (query, 16))
    )
    both = code.mul(x, y, flags=["nsw"])
    return code.add(*(_pick(code, both, range(first, 32, 2)) for first in (0, 1)))


def _total(code: Any, sums: list[Any]) -> Any:
    """All numbers of some vectors in one."""
    first, *others = sums
    for other in others:
        first = _add(code, first, other)
    count = 16
    while count > 1:
        count //= 2
        first = _add(code, *(_pick(code, first, range(at, at + count)) for at in (0, count)))
    return code.extract_element(first, ir.Constant(_INT, 0))


def _add(code: Any, x: Any, y: Any) -> Any:
    return code.add(x, y) if x.type.element == _INT else code.fadd(x, y, flags=["fast"])


def _pick(code: Any, numbers: Any, places: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_INT, len(places)), list(places))
    return code.shuffle_vector(numbers, numbers, mask)


def _prefetch(code: Any, data: Any, place: Any, ahead: int = AHEAD) -> None:
    """Ask for memory that is read later; any address will do."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
    name = "llvm.prefetch.p0"
    known = code.module.globals.get(name) or ir.Function(code.module, kind, name)
    later = code.gep(code.bitcast(code.gep(data, [place]), byte), [ir.Constant(_WORD, ahead)])
    code.call(known, [later, *(ir.Constant(_INT, each) for each in (0, 3, 1))])  # read, keep, data


def _array(context: Any, code: Any, signature: Any, given: Any, at: int) -> Any:
    return context.make_array(signature.args[at])(context, code, given[at])


def _row(code: Any, matrix: Any, number: Any) -> Any:
    """Where a row of a matrix begins."""
    start = code.mul(number, code.extract_value(matrix.strides, 0))
    byte = code.bitcast(matrix.data, ir.IntType(8).as_pointer())
    return code.bitcast(code.gep(byte, [start]), matrix.data.type)


def _load(code: Any, data: Any, place: Any, kind: Any) -> Any:
    """A vector of memory."""
    numbers = code.load(code.bitcast(code.gep(data, [place]), kind.as_pointer()))
    numbers.align = 1 if kind.element == ir.IntType(8) else 2
    return numbers
