"""Selects rows of a table by an expression, such as ``view in ("PA", "AP") and age >= 18``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.sources.identifying import name_columns
from plainfilm.errors import UsageError

_LONGEST = 2000
_QUOTED = re.compile(r"`([^`]+)`")
_SYMBOLS: Mapping[type[ast.cmpop], Callable[..., object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EXAMPLE = (
    """such as 'view in ("PA", "AP") and age >= 18'; put `backticks` around a name with spaces"""
)

Mask = NDArray[np.bool_]


def select_rows(expression: str, columns: Mapping[str, Sequence[str]]) -> Mask:
    """Return which rows an expression selects, (rows,).

    The expression consists of comparisons of a column with constants (``==``, ``!=``, ``<``,
    ``<=``, ``>``, ``>=``, ``in``, ``not in``), joined with ``and``, ``or``, ``not`` and
    parentheses. Comparisons with a number are numeric: a cell that is not a number differs from
    every number. ``"text" in column`` is true for cells that contain the text. It is parsed, never
    executed.

    Parameters
    ----------
    expression
        The expression, at most 2,000 characters; names with spaces are in backticks.
    columns
        Cells of each column.

    Raises
    ------
    UsageError
        If the expression is invalid or names an unknown column.

    Examples
    --------
    >>> table = {"view": ["PA", "L", "AP"], "Patient Age": ["9", "40", "12.0"]}
    >>> select_rows('view in ("PA", "AP") and `Patient Age` > 9', table).tolist()
    [False, False, True]
    """
    return _Selection(expression, columns).mask()


def find_not_numbers(expression: str, columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the cells by column that an expression compares with numbers, but are text.

    Examples
    --------
    >>> find_not_numbers("age >= 18", {"age": ["34", "034Y", "", "12,5"], "view": ["PA"] * 4})
    {'age': ['034Y', '12,5']}
    """
    selection = _Selection(expression, columns)
    selection.mask()
    return selection.not_numbers


class _Selection:
    def __init__(self, expression: str, columns: Mapping[str, Sequence[str]]) -> None:
        self._expression, self._columns = expression, columns
        self._quoted: list[str] = []
        self.not_numbers: dict[str, list[str]] = {}

    def mask(self) -> Mask:
        if len(self._expression) > _LONGEST:
            raise self._error(f"is longer than {_LONGEST:,} characters")
        plain = _QUOTED.sub(self._remember, self._expression)
        try:
            tree = ast.parse(plain.strip(), mode="eval")
            return self._evaluate(tree.body)
        except (SyntaxError, ValueError) as error:
            raise self._error("is not a valid expression") from error
        except (RecursionError, MemoryError) as error:
            raise self._error("is nested too deeply") from error

    def _remember(self, found: re.Match[str]) -> str:
        self._quoted.append(found[1])
        return f" _quoted_{len(self._quoted) - 1} "

    def _evaluate(self, node: ast.expr) -> Mask:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return _all(self._evaluate(part) for part in parts)
            case ast.BoolOp(values=parts):
                return ~_all(~self._evaluate(part) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ~self._evaluate(part)
            case ast.Compare(left=first, ops=symbols, comparators=others):
                sides = [first, *others]
                links = zip(sides, symbols, others, strict=False)
                return _all(self._compare(*link) for link in links)
        raise self._error("contains something other than comparisons, and, or, not")

    def _compare(self, left: ast.expr, symbol: ast.cmpop, right: ast.expr) -> Mask:
        if isinstance(symbol, ast.In | ast.NotIn):
            inside = self._is_in(left, right)
            return ~inside if isinstance(symbol, ast.NotIn) else inside
        if type(symbol) not in _SYMBOLS:
            raise self._error("contains an unknown comparison")
        if isinstance(left, ast.Name) == isinstance(right, ast.Name):
            raise self._error("must compare a column with a constant")
        compare = _SYMBOLS[type(symbol)]
        if isinstance(left, ast.Name):
            cells, constant = self._cells_like(left, right)
            return np.asarray(compare(cells, constant), np.bool_)
        cells, constant = self._cells_like(right, left)
        return np.asarray(compare(constant, cells), np.bool_)

    def _is_in(self, left: ast.expr, right: ast.expr) -> Mask:
        if isinstance(right, ast.Name):
            text = self._constant(left)
            return np.array([str(text) in cell for cell in self._column(right)], np.bool_)
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self._error("needs a list of values after in")
        found = np.zeros(len(self._column(left)), np.bool_)
        for value in right.elts:
            cells, constant = self._cells_like(left, value)
            found |= np.asarray(cells == constant, np.bool_)
        return found

    def _cells_like(
        self, name: ast.expr, value: ast.expr
    ) -> tuple[NDArray[np.object_] | NDArray[np.float64], str | float]:
        """Return the cells, as numbers if the constant is one, and the constant."""
        constant = self._constant(value)
        cells = self._column(name)
        if isinstance(constant, str):
            return np.array(cells, object), constant
        numbers = np.array([*map(_to_number, cells)])
        pairs = zip(cells, np.isnan(numbers).tolist(), strict=True)
        if other := [cell for cell, unknown in pairs if unknown and cell.strip()]:
            self.not_numbers[self._name(name)] = other
        return numbers, constant

    def _column(self, node: ast.expr) -> Sequence[str]:
        return self._columns[self._name(node)]

    def _name(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            raise self._error("must compare a column with a constant")
        name = node.id
        if name.startswith("_quoted_"):
            name = self._quoted[int(name.removeprefix("_quoted_"))]
        if name not in self._columns:
            raise UsageError(
                "where= names a column that does not exist",
                received=f"{name!r}; the table has {name_columns(self._columns)}",
                remedy=f"write an expression {_EXAMPLE}",
            )
        return name

    def _constant(self, node: ast.expr) -> str | float:
        match node:
            case ast.Constant(value=bool() as value):
                return float(value)
            case ast.Constant(value=str() | int() | float() as value):
                return value if isinstance(value, str) else float(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -float(value)
        raise self._error("must compare a column with text in quotes or a number")

    def _error(self, problem: str) -> UsageError:
        shown = self._expression[:200]
        return UsageError(
            f"the expression of where= {problem}",
            received=shown,
            remedy=f"write an expression {_EXAMPLE}",
        )


def _all(masks: Iterable[Mask]) -> Mask:
    every: Mask = np.logical_and.reduce([*masks])
    return every


def _to_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
