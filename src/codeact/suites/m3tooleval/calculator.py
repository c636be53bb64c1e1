"""The calculator of two families: an expression of Python evaluated without `eval`, within bounds.

It runs on the host, on text a model wrote. What is known are values, operators, comparisons, subscripts and a list of
functions; there are no attributes, no names to set and no code. Every step has a cost, and what would grow beyond
reason is refused before it is computed.
"""

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Sized
from typing import Any

__all__ = ["calculator", "times"]

_MAX_CHARS = 10_000
_MAX_BITS = 10_000
_MAX_WEIGHT = 100_000


def calculator(expression: str) -> Any:
    """The value of an expression, or a sentence saying that it has none."""
    try:
        return _Evaluation().of_text(expression)
    except (ArithmeticError, LookupError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return f"Failed to evaluate expression: {expression}"


def times(a: Any, b: Any) -> Any:
    """`a * b`, unless the product would be huge.

    Raises:
        ValueError: It would.
        TypeError: They cannot be multiplied.
    """
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Sized) and isinstance(other, int) and _weight(one) * other > _MAX_WEIGHT:
            raise ValueError(f"the product would have more than {_MAX_WEIGHT:,} items")
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > _MAX_BITS:
        raise ValueError(f"the product would have more than {_MAX_BITS:,} bits")
    return a * b


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and abs(a) > 1 and a.bit_length() * b > _MAX_BITS:
        raise ValueError(f"the power would have more than {_MAX_BITS:,} bits")
    return a**b


def _left_shift(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b > _MAX_BITS:
        raise ValueError(f"the number would have more than {_MAX_BITS:,} bits")
    return a << b


def _remainder(a: Any, b: Any) -> Any:
    if isinstance(a, str | bytes):
        raise ValueError("text cannot be formatted here")  # its widths know no bounds
    return a % b


def _round(number: Any, digits: Any = None) -> Any:
    if isinstance(digits, int) and abs(digits) > _MAX_BITS:
        raise ValueError(f"more than {_MAX_BITS:,} digits")
    return round(number, digits)


def _sum(items: Any, start: Any = 0) -> Any:
    if isinstance(start, Sized):
        raise TypeError("only numbers can be added up")  # lists would be copied over and over
    return sum(items, start)


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > _MAX_WEIGHT:
        raise ValueError(f"a range of more than {_MAX_WEIGHT:,} numbers")
    return numbers


def _weight(value: Any) -> int:
    """How much a value holds, all the way down: `*` repeats what is in a list without copying it."""
    match value:
        case int():
            return 1 + value.bit_length() // 64
        case str() | bytes() | range():
            return 1 + len(value)
        case dict():
            return 1 + sum(map(_weight, value)) + sum(map(_weight, value.values()))
        case list() | tuple() | set():
            return 1 + sum(map(_weight, value))
    return 1


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: times, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: _remainder, ast.Pow: _power, ast.LShift: _left_shift,
    ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_, ast.Invert: operator.invert,
}  # fmt: skip
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "all": all, "any": any, "bin": bin, "bool": bool, "chr": chr, "complex": complex, "dict": dict,
    "divmod": divmod, "float": float, "hex": hex, "int": int, "len": len, "list": list, "max": max, "min": min,
    "oct": oct, "ord": ord, "pow": _power, "range": _range, "repr": repr, "round": _round, "set": set,
    "sorted": sorted, "str": str, "sum": _sum, "tuple": tuple,
}  # fmt: skip


class _Evaluation:
    """One expression; `_spent` grows with all that is made, so that small steps do not add up to a huge one."""

    def __init__(self) -> None:
        self._spent = 0

    def of_text(self, expression: str) -> Any:
        if not isinstance(expression, str):
            raise TypeError("an expression is text")
        if len(expression) > _MAX_CHARS:
            raise ValueError(f"an expression of more than {_MAX_CHARS:,} characters")
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(expression.lstrip(" \t"), mode="eval")
        return self._of(tree.body)

    def _of(self, node: ast.expr) -> Any:
        value = self._computed(node)
        self._spent += _weight(value)
        if self._spent > _MAX_WEIGHT:
            raise ValueError("the expression takes too much work")
        return value

    def _computed(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value):
                return value
            case ast.Tuple(items):
                return tuple(self._all(items))
            case ast.List(items):
                return self._all(items)
            case ast.Set(items):
                return set(self._all(items))
            case ast.Dict(keys, values) if None not in keys:
                return dict(zip(self._all([key for key in keys if key]), self._all(values), strict=True))
            case ast.UnaryOp(sign, operand):
                return _UNARY[type(sign)](self._of(operand))
            case ast.BinOp(left, sign, right):
                return _BINARY[type(sign)](self._of(left), self._of(right))
            case ast.BoolOp(sign, operands):
                return self._joined(operands, until=isinstance(sign, ast.Or))
            case ast.Compare():
                return self._compared(node)
            case ast.IfExp(test, then, otherwise):
                return self._of(then if self._of(test) else otherwise)
            case ast.Subscript(holder, index):
                return self._of(holder)[self._of(index)]
            case ast.Slice(lower, upper, step):
                return slice(*(part and self._of(part) for part in (lower, upper, step)))
            case ast.Call(ast.Name(name), args, []):
                return _FUNCTIONS[name](*self._all(args))
        raise ValueError(f"an expression cannot hold {type(node).__name__}")

    def _all(self, nodes: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values.extend(self._of(node.value))
            else:
                values.append(self._of(node))
        return values

    def _joined(self, operands: list[ast.expr], *, until: bool) -> Any:
        value: Any = None
        for operand in operands:
            value = self._of(operand)
            if bool(value) is until:
                break
        return value

    def _compared(self, node: ast.Compare) -> Any:
        left, verdict = self._of(node.left), True
        for sign, comparator in zip(node.ops, node.comparators, strict=True):
            right = self._of(comparator)
            verdict = _COMPARE[type(sign)](left, right)
            if not verdict:
                break
            left = right
        return verdict
