"""The tree that an expression becomes, and its way back to text.

Stands between `parse` and `evaluate`. Nodes are frozen and equal by value; `parse(render(tree)) == tree` for every
tree that `parse` can return.
"""

import re
from typing import Literal, TypeAlias

import msgspec

__all__ = (
    "KEYWORDS",
    "NAME",
    "And",
    "Compare",
    "Constant",
    "Expression",
    "Flag",
    "Not",
    "Now",
    "Operator",
    "Or",
    "Scalar",
    "Within",
    "attributes",
    "depends_on_now",
    "render",
)

KEYWORDS = frozenset(("and", "or", "not", "in", "true", "false", "now"))
NAME = re.compile(r"[^\W\d]\w*")
"""An attribute that needs no backquotes, unless it is a keyword."""

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Scalar: TypeAlias = bool | float | str


class Now(msgspec.Struct, frozen=True):
    """The moment of the request, shifted by `amount` (signed) of `unit`."""

    amount: float = 0.0
    unit: Literal["seconds", "minutes", "hours", "days", "weeks"] = "days"


class Compare(msgspec.Struct, frozen=True):
    """`attribute operator value`."""

    attribute: str
    operator: Operator
    value: Scalar | Now


class Within(msgspec.Struct, frozen=True):
    """`attribute in [values]`, or `not in` where `negated`."""

    attribute: str
    values: tuple[Scalar, ...]
    negated: bool = False


class Flag(msgspec.Struct, frozen=True):
    """A boolean attribute alone."""

    attribute: str


class Constant(msgspec.Struct, frozen=True):
    """`true` or `false` alone."""

    value: bool


class Not(msgspec.Struct, frozen=True):
    """`not operand`."""

    operand: "Expression"


class And(msgspec.Struct, frozen=True):
    """All of two or more operands."""

    operands: "tuple[Expression, ...]"


class Or(msgspec.Struct, frozen=True):
    """Any of two or more operands."""

    operands: "tuple[Expression, ...]"


Expression: TypeAlias = Compare | Within | Flag | Constant | Not | And | Or


def attributes(expression: Expression) -> frozenset[str]:
    """Name every attribute that the expression reads."""
    if isinstance(expression, And | Or):
        return frozenset().union(*map(attributes, expression.operands))
    if isinstance(expression, Not):
        return attributes(expression.operand)
    return frozenset() if isinstance(expression, Constant) else frozenset((expression.attribute,))


def depends_on_now(expression: Expression) -> bool:
    """Say whether the answer changes with the clock, so that a mask of it must not be kept."""
    if isinstance(expression, And | Or):
        return any(map(depends_on_now, expression.operands))
    if isinstance(expression, Not):
        return depends_on_now(expression.operand)
    return isinstance(expression, Compare) and isinstance(expression.value, Now)


def render(expression: Expression) -> str:
    """Write the expression as text that parses to an equal tree."""
    match expression:
        case And(operands):
            return " and ".join(_operand(o, And, Or) for o in operands)
        case Or(operands):
            return " or ".join(_operand(o, Or) for o in operands)
        case Not(operand):
            return f"not {_operand(operand, And, Or)}"
        case Compare(attribute, operator, value):
            return f"{_name(attribute)} {operator} {_moment(value) if isinstance(value, Now) else _scalar(value)}"
        case Within(attribute, values, negated):
            return f"{_name(attribute)} {'not in' if negated else 'in'} [{', '.join(map(_scalar, values))}]"
        case Flag(attribute):
            return _name(attribute)
        case Constant(value):
            return _scalar(value)


def _operand(expression: Expression, *bracketed: type) -> str:
    text = render(expression)
    return f"({text})" if isinstance(expression, bracketed) else text


def _name(attribute: str) -> str:
    if NAME.fullmatch(attribute) and attribute not in KEYWORDS:
        return attribute
    return "`" + attribute.replace("`", "``") + "`"


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
    return repr(value)


def _moment(value: Now) -> str:
    return f"now {'-' if value.amount < 0 else '+'} {abs(value.amount)!r} {value.unit}" if value.amount else "now"
