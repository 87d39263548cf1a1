"""Inner loops that numba's own vectoriser does not find, written for LLVM as vectors of sixteen.

Products of int8 and int16 are added in int32, neighbours first: LLVM turns that shape into one
instruction where the processor has one (pmaddwd, vpdpwssd). From Python's integers numba makes
products of 64 bits, five times slower.
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

STEP = 64  # int8 numbers a round of `two_dots`
_WORD, _FLOATS = ir.IntType(64), ir.VectorType(ir.FloatType(), 16)


@intrinsic
def two_dots(_: Any, values: Any, row: Any, one: Any, two: Any) -> Any:
    """int32 dots of a row of an int8 matrix with two int16 vectors; width a multiple of STEP."""
    signature = types.UniTuple(types.int32, 2)(values, types.intp, one, two)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        matrix, *queries = (_array(context, code, signature, given, at) for at in (0, 2, 3))
        start = code.mul(given[1], code.extract_value(matrix.strides, 0))
        token = code.gep(_pointer(code, matrix.data, ir.IntType(8)), [start])
        width = code.extract_value(matrix.shape, 1)

        def products(at: Any) -> list[Any]:
            found: list[Any] = []
            for half in range(STEP // 32):
                place = code.add(at, ir.Constant(_WORD, 32 * half))
                x = _integers(code, token, place, 8)
                for query in queries:
                    found.append(_neighbours(code, x, _integers(code, query.data, place, 16)))
            return found

        sums = _loop(code, width, STEP, 2 * STEP // 32, _vector(32, 16), products, code.add)
        totals = [_total(code, code.add(sums[at], sums[at + 2])) for at in range(2)]
        return context.make_tuple(code, signature.return_type, totals)

    return signature, generate


@intrinsic
def three_sums(
    _: Any, rows: Any, start: Any, apart: Any, weights: Any, size: Any, sums: Any
) -> Any:
    """sums[m] = sum over k of rows[start + m apart + k] * weights[k], lane by lane; m = 0, 1, 2.

    All are flat float32 arrays of rows of sixteen; `size` floats of `weights` are meant, not 0.
    """
    signature = types.void(rows, types.intp, types.intp, weights, types.intp, sums)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        data, by, into = (
            _pointer(code, _array(context, code, signature, given, at).data, ir.FloatType())
            for at in (0, 3, 5)
        )

        def products(at: Any) -> list[Any]:
            weight, found = _floats(code, by, at), []
            for m in range(3):
                place = code.add(given[1], code.mul(given[2], ir.Constant(_WORD, m)))
                number = _floats(code, data, code.add(place, at))
                found.append(code.fmul(number, weight, flags=["fast"]))
            return found

        def add(old: Any, new: Any) -> Any:
            return code.fadd(old, new, flags=["fast"])

        for m, total in enumerate(_loop(code, given[4], 16, 3, _FLOATS, products, add)):
            place = code.gep(into, [ir.Constant(_WORD, 16 * m)])
            code.store(total, code.bitcast(place, _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    return signature, generate


def _loop(
    code: Any, end: Any, step: int, count: int, kind: Any, products: Any, add: Any
) -> list[Any]:
    """`count` sums of what `products(at)` gives for at = 0, step, ... below `end` (not 0)."""
    before, body, after = code.block, *(code.append_basic_block() for _ in range(2))
    code.branch(body)
    code.position_at_end(body)
    at, *kept = (code.phi(each) for each in [_WORD, *[kind] * count])
    sums = [add(old, new) for old, new in zip(kept, products(at), strict=True)]
    following = code.add(at, ir.Constant(_WORD, step))
    for phi, new in zip([at, *kept], [following, *sums], strict=True):
        phi.add_incoming(ir.Constant(phi.type, None), before)
        phi.add_incoming(new, body)
    code.cbranch(code.icmp_signed("<", following, end), body, after)
    code.position_at_end(after)
    return sums


def _array(context: Any, code: Any, signature: Any, given: Any, at: int) -> Any:
    return context.make_array(signature.args[at])(context, code, given[at])


def _pointer(code: Any, data: Any, kind: Any) -> Any:
    return code.bitcast(data, kind.as_pointer())


def _floats(code: Any, data: Any, place: Any) -> Any:
    numbers = code.load(code.bitcast(code.gep(data, [place]), _FLOATS.as_pointer()))
    numbers.align = 4
    return numbers


def _integers(code: Any, data: Any, place: Any, bits: int) -> Any:
    """32 numbers of memory, widened to int32."""
    first = code.gep(_pointer(code, data, ir.IntType(bits)), [place])
    numbers = code.load(code.bitcast(first, _vector(bits, 32).as_pointer()))
    numbers.align = bits // 8
    return code.sext(numbers, _vector(32, 32))


def _neighbours(code: Any, x: Any, y: Any) -> Any:
    """Products of 32 numbers, neighbours added."""
    products = code.mul(x, y, flags=["nsw"])
    even, odd = ([2 * at + shift for at in range(16)] for shift in (0, 1))
    return code.add(_pick(code, products, even), _pick(code, products, odd))


def _total(code: Any, sums: Any) -> Any:
    count = 16
    while count > 1:
        count //= 2
        low, high = list(range(count)), list(range(count, 2 * count))
        sums = code.add(_pick(code, sums, low), _pick(code, sums, high))
    return code.extract_element(sums, ir.Constant(ir.IntType(32), 0))


def _pick(code: Any, numbers: Any, places: list[int]) -> Any:
    return code.shuffle_vector(numbers, numbers, ir.Constant(_vector(32, len(places)), places))


def _vector(bits: int, count: int) -> Any:
    return ir.VectorType(ir.IntType(bits), count)
