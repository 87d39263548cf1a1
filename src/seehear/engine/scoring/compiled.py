"""Compiler settings, exp and prefetch for the compiled loops."""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

settings: Any = config
HERE = Path(__file__).parent
VERSION = sha256(b"".join(each.read_bytes() for each in sorted(HERE.glob("*.py")))).hexdigest()[:16]
AHEAD = 8192  # bytes; processors prefetch no further than a page of 4096 by themselves


def compiled(function: Any) -> Any:
    """Machine code of a function, cached on disk for this version of the package.

    numba's own cache notices a change in the file of a function, but not in those that it calls.
    Where no folder is writable, each process compiles again.
    """
    make = partial(njit, nogil=True, fastmath=True, error_model="numpy")
    chosen = settings.CACHE_DIR
    settings.CACHE_DIR = str(Path(chosen or HERE / "__pycache__") / VERSION)
    try:
        return make(cache=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return make()(function)
    finally:
        settings.CACHE_DIR = chosen


@compiled
@no_type_check
def exp(x):
    """e^x of x <= 0: 2^k times a polynomial of degree 6; e^-87 below -87."""
    y = max(x, np.float32(-87.0))
    k = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
    r = y - k * np.float32(0.693147181)
    p = (np.float32(1 / 720) * r + np.float32(1 / 120)) * r + np.float32(1 / 24)
    p = (p * r + np.float32(1 / 6)) * r + np.float32(0.5)
    p = (p * r + np.float32(1)) * r + np.float32(1)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@intrinsic
def prefetch(_: Any, numbers: Any, at: Any) -> Any:
    """Ask the processor for 512 bytes from AHEAD bytes after numbers[at]; any `at` is safe.

    numba has no such instruction. Without it one thread reads int8 tokens at 15 GB/s instead of 40
    (measured on a virtual machine, whose hardware prefetcher stops at page boundaries).
    """
    signature = types.void(numbers, types.intp)

    def generate(context: Any, code: Any, signature: Any, given: Any) -> Any:
        byte, word, flag = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        name = "llvm.prefetch.p0"
        known = code.module.globals.get(name) or ir.Function(code.module, kind, name)
        data = context.make_array(numbers)(context, code, given[0]).data
        start = code.bitcast(code.gep(data, [given[1]]), byte)
        read_keep_data = [ir.Constant(flag, number) for number in (0, 3, 1)]
        for line in range(0, 512, 64):
            code.call(known, [code.gep(start, [ir.Constant(word, AHEAD + line)]), *read_keep_data])
        return context.get_dummy_value()

    return signature, generate
