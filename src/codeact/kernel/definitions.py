"""Functions, classes and imports of a session's cells, which come back by running their own statement again.

state.py asks two things: which statement of which cell made this object, and whether running it again alone gives the
same; later, to run it. The second answer is careful. A function must be what its `def` compiles to, without decorators,
with defaults that are constants; a class must consist of such functions and of constants, and nothing may have been
put into it since. Whatever is not surely so is refused with a reason, and comes back by replaying all cells, or not.

What this does not see: code that runs when a library's metaclass or decorator is at work.
"""

from __future__ import annotations

import _ast
import sys
from types import CodeType, FunctionType
from typing import Any, Dict, List, Optional, Tuple

from .guard import keep_builtins
from .heap import Refused, importable
from .kinds import ATOMS, attributes, is_class, is_module, module_of, name_of, names_in, names_of_module
from .magics import translate

__all__ = ["Definitions", "run"]

keep_builtins(globals())

_TREE_ONLY, _TOP_LEVEL_AWAIT, _FUTURES = 0x400, 0x2000, 0x1FF0000      # as in repl.py
_DEFS = (_ast.FunctionDef, _ast.AsyncFunctionDef)
_METACLASSES = (("builtins", "type"), ("abc", "ABCMeta"), ("enum", "EnumMeta"), ("enum", "EnumType"))
_CLASS_DECORATORS = (("dataclasses", "dataclass"), ("functools", "total_ordering"), ("enum", "unique"),
                     ("typing", "final"))
_METHOD_DECORATORS = (("builtins", "staticmethod"), ("builtins", "classmethod"), ("builtins", "property"),
                      ("abc", "abstractmethod"), ("functools", "cached_property"))
_FACTORIES = ("list", "dict", "set", "tuple", "str", "int", "float", "bool")
_VALUE_CALLS = (("dataclasses", "field"), ("enum", "auto"))

Statement = Tuple[int, int, int]
"""Number of the cell, line of the statement, flags of the `__future__` features it was compiled with."""


class Definitions:
    """What the cells of a session define.

    Args:
        namespace: The session's.
        texts: The cells' texts, by file name.
    """

    def __init__(self, namespace: Dict[str, Any], texts: Dict[str, str]):
        self._names, self._texts = namespace, texts
        self._trees: Dict[str, List[Any]] = {}
        self._imported: Optional[Dict[str, Tuple[str, str]]] = None

    def imported(self, name: str, value: Any) -> Optional[Tuple[str, Optional[str]]]:
        """The module, and the name in it, that this variable is: to be imported again; None for no such thing."""
        if is_module(value):
            module = names_in(value).get("__name__")
            if type(module) is str and module != "__main__" and sys.modules.get(module) is value:
                return module, None
            raise Refused("it is a module that cannot be imported by its name")
        found = importable(value)
        if found is None and type(value) not in ATOMS:
            found = self._import_statements().get(name)
            if found is not None and names_of_module(found[0]).get(found[1]) is not value:
                found = None
            if found is not None and type(value) in (list, dict, set, bytearray):
                raise Refused("it belongs to the module %s, whose state is not stored" % found[0])
        return found

    def _import_statements(self) -> Dict[str, Tuple[str, str]]:
        if self._imported is None:
            self._imported = {}
            for text in self._texts:
                for node in self._tree(text):
                    if type(node) is _ast.ImportFrom and node.module and not node.level:
                        self._imported.update({a.asname or a.name: (node.module, a.name) for a in node.names})
        return self._imported

    def statement(self, name: str, value: Any) -> Optional[Statement]:
        """Where the function or class under this name was defined; None for other values.

        Raises:
            Refused: Running the statement again might not give the same.
        """
        if type(value) is FunctionType:
            return self._function(name, value)
        if is_class(value):
            return self._class(name, value)
        return None

    def _tree(self, file: str) -> List[Any]:
        if file not in self._trees:
            self._trees[file] = parse(self._texts.get(file, ""), file)
        return self._trees[file]

    # Functions --------------------------------------------------------------------------------------------------------

    def _function(self, name: str, value: Any) -> Statement:
        code = value.__code__
        file = code.co_filename
        if file not in self._texts or not file.startswith("<cell "):
            raise Refused("it was not defined by a statement of a cell")
        node = next((node for node in self._tree(file) if _first_line(node) == code.co_firstlineno
                     and _bound_name(node) == name), None)
        if node is None:
            raise Refused("it was not defined under this name at the top of a cell")
        self._check_function(value, node.value if type(node) is _ast.Assign else node, (), _compiled(node, file, code))
        return int(file[len("<cell "):-1]), _first_line(node), code.co_flags & _FUTURES

    def _check_function(self, value: Any, node: Any, decorators: Tuple[Tuple[str, str], ...], codes: List[Any]) -> None:
        code = value.__code__
        if code not in codes:
            raise Refused("it is not what its statement defines")
        if value.__globals__ is not self._names or (value.__closure__ and code.co_freevars != ("__class__",)):
            raise Refused("it was made inside another function")
        if any(key != "__isabstractmethod__" for key in value.__dict__):
            raise Refused("it was given attributes")
        for decorator in getattr(node, "decorator_list", ()):
            if not self._is_one_of(decorator, decorators) and not _is_setter(decorator):
                raise Refused("it has a decorator")
        plain = [_constant(default) for default in node.args.defaults]
        named = {argument.arg: _constant(default) for argument, default
                 in zip(node.args.kwonlyargs, node.args.kw_defaults) if default is not None}  # noqa: B905
        if repr(tuple(plain)) != repr(value.__defaults__ or ()) or repr(named) != repr(value.__kwdefaults__ or {}):
            raise Refused("its defaults have changed")
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        notes = [argument.annotation for argument in every if argument is not None]
        if any(_acts(note) for note in (*notes, getattr(node, "returns", None)) if note is not None):
            raise Refused("its annotations call something")

    # Classes ----------------------------------------------------------------------------------------------------------

    def _class(self, name: str, value: Any) -> Statement:
        if module_of(value) != "__main__" or (module_of(type(value)), name_of(type(value))) not in _METACLASSES:
            raise Refused("its class was not made by a plain class statement")
        reason = Refused("it was not defined under this name at the top of a cell")
        for file in reversed(list(self._texts)):
            if name not in self._texts[file]:
                continue
            for node in reversed(self._tree(file)):
                if type(node) is _ast.ClassDef and node.name == name:
                    try:
                        self._check_class(value, node, file)
                        codes = [m.__code__ for m in attributes(value).values() if type(m) is FunctionType]
                        flags = next((code.co_flags for code in codes if code.co_filename == file), 0)
                        return int(file[len("<cell "):-1]), _first_line(node), flags & _FUTURES
                    except Refused as refused:
                        reason = refused
        raise reason

    def _check_class(self, value: Any, node: Any, file: str) -> None:
        if any(keyword.arg != "metaclass" or module_of(type(value)) != "abc" for keyword in node.keywords):
            raise Refused("its class statement has keywords")
        bases = tuple(self._object(base) for base in node.bases) or (object,)
        if len(bases) != len(value.__bases__) or any(a is not b for a, b in zip(bases, value.__bases__)):  # noqa: B905
            raise Refused("its bases are not found under their names")
        if not all(self._is_one_of(decorator, _CLASS_DECORATORS) for decorator in node.decorator_list):
            raise Refused("its class has a decorator")
        is_enum = module_of(type(value)) == "enum"
        own, codes = attributes(value), _compiled(node, file, None)
        bound: List[str] = []
        for statement in node.body:
            bound.append(self._check_member(statement, own, codes, is_enum))
        for key, member in own.items():
            made_here = type(member) is FunctionType and member.__code__.co_filename.startswith("<cell ")
            if key not in bound and not is_enum and (made_here or not _is_automatic(key, member)):
                raise Refused("its attribute %s was set after the class was made" % key)

    def _check_member(self, node: Any, own: Dict[str, Any], codes: List[Any], is_enum: bool) -> str:
        """A statement of the body; the name it binds."""
        if type(node) is _ast.Pass or (type(node) is _ast.Expr and type(node.value) is _ast.Constant):
            return ""
        if type(node) in _DEFS:
            member = own.get(node.name)
            inner = getattr(member, "__func__", None) if type(member) in (staticmethod, classmethod) else \
                getattr(member, "fget", None) if type(member) is property else \
                getattr(member, "func", None) if name_of(type(member)) == "cached_property" else member
            if any(_is_setter(decorator) for decorator in node.decorator_list):
                inner = next((part for part in (member.fget, member.fset, member.fdel)
                              if part is not None and part.__code__.co_firstlineno == _first_line(node)), None) \
                    if type(member) is property else None
            elif type(member) is property and inner is not None:
                if inner.__code__.co_firstlineno != _first_line(node):
                    raise Refused("its property %s was defined twice" % node.name)
            if type(inner) is not FunctionType:
                raise Refused("its method %s was replaced" % node.name)
            self._check_function(inner, node, _METHOD_DECORATORS, codes)
            return str(node.name)
        target = node.targets[0] if type(node) is _ast.Assign and len(node.targets) == 1 else \
            node.target if type(node) is _ast.AnnAssign else None
        if type(target) is not _ast.Name or (type(node) is _ast.AnnAssign and _acts(node.annotation)):
            raise Refused("its class statement does more than define methods and constants")
        if node.value is None:
            return str(target.id)
        if type(node.value) is _ast.Call and self._is_one_of(node.value, _VALUE_CALLS):
            return str(target.id)
        constant = _constant(node.value)
        if not is_enum:
            now = own.get(target.id, _constant)
            is_slot = name_of(type(now)) == "member_descriptor"
            if not is_slot and (type(now) is not type(constant) or repr(now) != repr(constant)):
                raise Refused("its attribute %s has changed" % target.id)
        return str(target.id)

    # Names ------------------------------------------------------------------------------------------------------------

    def _object(self, node: Any) -> Any:
        """What a name, or an attribute of a module, stands for; this class for nothing."""
        if type(node) is _ast.Name:
            import builtins

            return self._names.get(node.id, vars(builtins).get(node.id, Definitions))
        if type(node) is _ast.Attribute:
            home = self._object(node.value)
            if is_module(home):
                return names_in(home).get(node.attr, Definitions)
        return Definitions

    def _is_one_of(self, node: Any, known: Tuple[Tuple[str, str], ...]) -> bool:
        """Whether a decorator or call is of one of these functions, with nothing but constants as arguments."""
        if type(node) is _ast.Call:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                if not (type(argument) is _ast.Name and argument.id in _FACTORIES):
                    _constant(argument)
            node = node.func
        found = self._object(node)
        return any(names_of_module(module).get(name) is found for module, name in known)


def parse(text: str, file: str) -> List[Any]:
    """The statements at the top of a cell; none where it cannot be read."""
    for source in (text, None):
        try:
            source = translate(text) if source is None else source
            if source is None:
                return []
            tree: Any = compile(source, file, "exec", _TREE_ONLY | _TOP_LEVEL_AWAIT, True)
            return list(tree.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return []


def run(statement: Statement, body: List[Any], namespace: Dict[str, Any]) -> None:
    """Run the statement of this line again.

    Args:
        body: The statements of its cell.

    Raises:
        ValueError: There is none.
    """
    file = "<cell %d>" % statement[0]
    for node in body:
        if _first_line(node) == statement[1] and _bound_name(node):
            module: Any = _module([node])
            eval(compile(module, file, "exec", statement[2] & _FUTURES, True), namespace)
            return
    raise ValueError("there is no definition in line %d of cell %d" % (statement[1], statement[0]))


def _module(body: List[Any]) -> Any:
    return _ast.Module(body=body, type_ignores=[])


def _compiled(node: Any, file: str, like: Optional[CodeType]) -> List[Any]:
    """All code objects that a statement compiles to, under the `__future__` features of `like`, else any of them."""
    found: List[Any] = []
    for flags in ([like.co_flags & _FUTURES] if like is not None else [0, 0x1000000]):      # annotations
        todo: List[Any] = [compile(_module([node]), file, "exec", flags, True)]
        while todo:
            code = todo.pop()
            inner = [const for const in code.co_consts if type(const) is CodeType]
            found.extend(inner)
            todo.extend(inner)
    return found


def _first_line(node: Any) -> int:
    """As `co_firstlineno` has it: a decorator's."""
    lines: List[int] = [node.lineno] + [decorator.lineno for decorator in getattr(node, "decorator_list", ())]
    return min(lines)


def _bound_name(node: Any) -> str:
    """The name that a definition binds; "" for other statements."""
    if type(node) in _DEFS or type(node) is _ast.ClassDef:
        return str(node.name)
    if type(node) is _ast.Assign and type(node.value) is _ast.Lambda and len(node.targets) == 1 \
            and type(node.targets[0]) is _ast.Name:
        return str(node.targets[0].id)
    return ""


def _constant(node: Any) -> Any:
    """The value of an expression that is a constant nobody can change.

    Raises:
        Refused: It is not.
    """
    if type(node) is _ast.Constant:
        return node.value
    if type(node) is _ast.UnaryOp and type(node.op) is _ast.USub and type(node.operand) is _ast.Constant:
        number: Any = node.operand.value
        if type(number) in (int, float, complex):
            return -number
    if type(node) is _ast.Tuple:
        return tuple(_constant(item) for item in node.elts)
    raise Refused("it has a default or an attribute that is not a constant")


def _acts(node: Any) -> bool:
    """Whether evaluating an annotation calls, awaits or assigns anything."""
    if type(node) in (_ast.Call, _ast.Await, _ast.NamedExpr, _ast.Lambda, _ast.Yield):
        return True
    for field in node._fields:
        value = getattr(node, field, None)
        for part in value if type(value) is list else [value]:
            if isinstance(part, _ast.AST) and _acts(part):
                return True
    return False


def _is_setter(node: Any) -> bool:
    """`@name.setter` and its kin, which belong to a property of the same class."""
    named = type(node) is _ast.Attribute and type(node.value) is _ast.Name
    return named and node.attr in ("setter", "getter", "deleter")


def _is_automatic(key: str, member: Any) -> bool:
    """Attributes that the class statement or `dataclass` makes by itself."""
    return (key[:2] == "__" and key[-2:] == "__") or key == "_abc_impl" or name_of(type(member)) == "member_descriptor"
