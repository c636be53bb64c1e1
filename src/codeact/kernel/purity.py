"""Says whether running a cell a second time must give the same state: the journal may then replay it unseen.

`Repl.run` asks for every cell. The answer is read from the syntax tree alone, so it is careful: a call, an attribute,
an import, `with`, `await` or a store into a container makes a cell impure, whatever they would really do. Function
definitions are pure, their bodies do not run. What this does not see: operators that a class overloads with side
effects.
"""

from __future__ import annotations

import _ast
from typing import Any, List

from .guard import keep_builtins

__all__ = ["is_pure"]

keep_builtins(globals())

_SAFE = frozenset(getattr(_ast, name) for name in (
    "Module", "Expr", "Expression", "Constant", "Name", "Load", "Store", "Del", "Tuple", "List", "Dict", "Set",
    "BinOp", "UnaryOp", "BoolOp", "Compare", "IfExp", "Subscript", "Slice", "Starred", "NamedExpr",
    "JoinedStr", "FormattedValue", "ListComp", "SetComp", "DictComp", "comprehension",
    "Assign", "AugAssign", "AnnAssign", "Delete", "If", "For", "While", "Pass", "Break", "Continue", "Assert", "Global",
    "Add", "Sub", "Mult", "Div", "FloorDiv", "Mod", "Pow", "LShift", "RShift", "BitOr", "BitXor", "BitAnd", "MatMult",
    "UAdd", "USub", "Not", "Invert", "And", "Or",
    "Eq", "NotEq", "Lt", "LtE", "Gt", "GtE", "Is", "IsNot", "In", "NotIn",
))
_FUNCTIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda)
_LEAVES = frozenset([_ast.Constant, _ast.Name])


def is_pure(tree: Any) -> bool:
    """Whether a parsed cell can only read names, compute, and assign to names."""
    todo: List[Any] = [tree]
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind in _LEAVES:
            continue
        if kind not in _SAFE:
            if kind not in _FUNCTIONS or getattr(node, "decorator_list", None):
                return False
            todo.extend(node.args.defaults)
            todo.extend(d for d in node.args.kw_defaults if d is not None)
            continue
        if kind is _ast.Subscript and type(node.ctx) is not _ast.Load:
            return False
        for field in kind._fields:
            value = getattr(node, field, None)
            if type(value) is list:
                todo.extend(value)
            elif isinstance(value, _ast.AST):
                todo.append(value)
    return True
