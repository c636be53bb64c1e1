"""Says whether running a cell a second time must give the same state: the journal may then replay it unseen.

`Repl.run` asks for every cell. The answer is read from the syntax tree, so it is careful: an attribute, an import,
`with`, `await`, a store into a container or a call makes a cell impure, whatever they would really do. So does going
through a name's values: behind it may be a file or a generator, which a frozen copy shares and which is at its end by
then. Calls of a few builtins are let pass (`print` above all: most cells of a model end in one), where the session has
given their names no other meaning; what is printed in a replay goes nowhere. Function definitions are pure, their
bodies do not run. What this does not see: operators or a `__str__` that a class overloads with side effects.
"""

from __future__ import annotations

import _ast
from typing import Any, Container, List

from .guard import keep_builtins

__all__ = ["is_pure"]

keep_builtins(globals())

_SAFE = frozenset(getattr(_ast, name) for name in (
    "Module", "Expr", "Expression", "Constant", "Name", "Load", "Store", "Del", "Tuple", "List", "Dict", "Set",
    "BinOp", "UnaryOp", "BoolOp", "Compare", "IfExp", "Subscript", "Slice", "NamedExpr",
    "JoinedStr", "FormattedValue", "ListComp", "SetComp", "DictComp", "comprehension",
    "Assign", "AugAssign", "AnnAssign", "Delete", "If", "For", "While", "Pass", "Break", "Continue", "Assert", "Global",
    "Add", "Sub", "Mult", "Div", "FloorDiv", "Mod", "Pow", "LShift", "RShift", "BitOr", "BitXor", "BitAnd", "MatMult",
    "UAdd", "USub", "Not", "Invert", "And", "Or",
    "Eq", "NotEq", "Lt", "LtE", "Gt", "GtE", "Is", "IsNot", "In", "NotIn",
))
_FUNCTIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda)
_LEAVES = frozenset([_ast.Constant, _ast.Name])
_DISPLAYS = frozenset([_ast.Tuple, _ast.List, _ast.Set, _ast.Dict, _ast.Constant, _ast.ListComp, _ast.SetComp,
                       _ast.DictComp])
"""What is made in the cell itself, and may be gone through."""
_CALLED = frozenset(["abs", "bool", "divmod", "float", "int", "isinstance", "len", "print", "range", "repr", "round",
                     "str", "type"])
"""Of builtins, those that go through nothing and reach nothing."""
_KEYWORDS = frozenset(["end", "sep"])
"""Of `print`, but for `file`."""


def is_pure(tree: Any, names: Container[str] = ()) -> bool:
    """Whether a parsed cell can only read names, compute, print, and assign to names.

    Args:
        names: Those the session has defined; a builtin among them is not the builtin.
    """
    todo: List[Any] = [tree]
    called, bound = set(), set()
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind in _LEAVES:
            if kind is _ast.Name and type(node.ctx) is not _ast.Load:
                bound.add(node.id)
            continue
        if kind is _ast.Call:
            function = node.func
            if type(function) is not _ast.Name or function.id not in _CALLED or function.id in names or \
                    any(word.arg not in _KEYWORDS for word in node.keywords):
                return False
            called.add(function.id)
            todo.extend(node.args)
            todo.extend([word.value for word in node.keywords])
            continue
        if kind in (_ast.For, _ast.comprehension) and not _is_fresh(node.iter):
            return False
        if kind is _ast.Assign and any(type(t) in (_ast.Tuple, _ast.List) for t in node.targets) and \
                not _is_fresh(node.value):
            return False
        if kind is _ast.Compare and any(type(op) in (_ast.In, _ast.NotIn) for op in node.ops) and \
                not all(map(_is_fresh, node.comparators)):
            return False
        if kind not in _SAFE:
            if kind not in _FUNCTIONS or getattr(node, "decorator_list", None):
                return False
            bound.add(getattr(node, "name", ""))
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
    return not called & bound   # the cell itself may give a name another meaning


def _is_fresh(node: Any) -> bool:
    """Whether a value is made on the spot, so that going through it takes nothing from anyone."""
    return type(node) in _DISPLAYS or (type(node) is _ast.Call and getattr(node.func, "id", "") == "range")
