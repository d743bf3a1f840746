"""Every way to change one thing in a module's source: a comparison, a sum, a condition, a constant, a call, a return.

Sentences, and texts inside `raise` and f-strings, are left alone: what a message says is not what is measured here.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.Pow: ast.Mult,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one thing changed: on which line, what it was and what it became."""

    line: int
    was: str
    became: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Each mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    _drop_what_does_not_run(tree)
    places = [node for node in ast.walk(tree) if not hasattr(node, "is_left_alone")]
    found = [(node, change) for node in places for change in _changes(node)]
    for node, change in sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset)):  # type: ignore[attr-defined]
        kept, kind = copy.copy(node.__dict__), node.__class__
        was = ast.unparse(node)
        change()
        yield Mutant(node.lineno, was, ast.unparse(node), ast.unparse(tree))  # type: ignore[attr-defined]
        node.__class__ = kind  # type: ignore[assignment]
        node.__dict__.clear()
        node.__dict__.update(kept)


def _drop_what_does_not_run(tree: ast.Module) -> None:
    """Mark docstrings, annotations, messages and type checks, in which nothing is changed."""
    for node in ast.walk(tree):
        alone: list[ast.AST | None] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            alone.append(node)
        elif isinstance(node, ast.AnnAssign | ast.arg):
            alone.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            alone += [node.returns, *node.decorator_list]
        elif isinstance(node, ast.Raise):
            alone += [node.exc, node.cause]
        elif isinstance(node, ast.JoinedStr):
            alone += [value for value in node.values if isinstance(value, ast.Constant)]
            alone += [value.format_spec for value in node.values if isinstance(value, ast.FormattedValue)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
            alone.append(node.args[0])
        elif isinstance(node, ast.ClassDef):
            alone += node.decorator_list
        for part in alone:
            for inner in ast.walk(part) if part is not None else ():
                inner.is_left_alone = True  # type: ignore[attr-defined]


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            changed = [*node.ops[:at], COMPARISONS[type(operator)](), *node.ops[at + 1 :]]
            yield lambda changed=changed: setattr(node, "ops", changed)  # type: ignore[misc]
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SUMS:
        yield lambda: setattr(node, "op", SUMS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield lambda: _become(node, copy.copy(node.operand))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | str) and not _is_sentence(node.value):
        yield lambda: setattr(node, "value", _other(node.value))
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield lambda: setattr(node, "value", ast.Constant(None))
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and not _is_turned_by_itself(node.test):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield lambda: _become(node, ast.Pass())


def _become(node: ast.AST, other: ast.AST) -> None:
    """Show a node as another; the printer looks at the class, so that is what is changed."""
    line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
    node.__dict__.update(other.__dict__, lineno=line, col_offset=column)
    node.__class__ = other.__class__


def _is_turned_by_itself(test: ast.expr) -> bool:
    """Whether the mutant of the condition is its opposite already."""
    if isinstance(test, ast.UnaryOp):
        return isinstance(test.op, ast.Not)
    return isinstance(test, ast.Compare) and not isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)


def _is_sentence(value: bool | int | str) -> bool:
    return isinstance(value, str) and value.count(" ") > 1


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _other(value: bool | int | str) -> bool | int | str:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}x"
