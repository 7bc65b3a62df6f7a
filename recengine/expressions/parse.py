r"""Text -> tree: a tokenizer by one regular expression and a recursive parser, each a few rules long.

    or        := and ("or" and)*
    and       := not ("and" not)*
    not       := "not" not | condition
    condition := "(" or ")" | "true" | "false" | name [operator value | ["not"] "in" "[" [scalar ("," scalar)*] "]"]
    operator  := "==" | "!=" | "<" | "<=" | ">" | ">="
    value     := scalar | "now" [("+" | "-") number unit]
    scalar    := ["-"] number | text | "true" | "false"
    name      := letters, digits and _ not starting with a digit, or any text between backquotes
                 (a backquote inside is doubled)
    text      := between "..." or '...', with \\ \" \' \n \t as escapes

Stands in front of `evaluate`. Why by hand: Python's own parser accepts far more than this language, fails with its
messages and not with ours, and has been brought down by hostile nesting; here length, depth and lists are bounded
first.
"""

import math
import re
from functools import lru_cache
from typing import NamedTuple, NoReturn, cast

from recengine.errors import BadExpression
from recengine.expressions.tree import (
    KEYWORDS,
    NAME,
    And,
    Compare,
    Constant,
    Expression,
    Flag,
    Not,
    Now,
    Operator,
    Or,
    Scalar,
    Within,
)

__all__ = ("MAX_DEPTH", "MAX_LENGTH", "MAX_LIST", "parse")

MAX_LENGTH = 4096
"""Characters of an expression."""
MAX_DEPTH = 64
"""Brackets and `not`s inside one another."""
MAX_LIST = 1000
"""Entries of one list."""

_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>{NAME.pattern})
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\+|-)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_OPERATORS = frozenset(("==", "!=", "<", "<=", ">", ">="))
_UNITS = ("seconds", "minutes", "hours", "days", "weeks")
_VALUE = 'a value (a number, "text", true, false or now)'


class _Token(NamedTuple):
    kind: str
    """number | name | keyword | quoted | text | sign | end"""
    text: str
    at: int


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Parse an expression; the trees of the last 1,024 texts are kept.

    Raises
    ------
    BadExpression : with line and column, what was expected, and the place marked in the text.

    Cost: linear in the text.
    """
    if len(text) > MAX_LENGTH:
        raise BadExpression(
            f"the expression has {len(text)} characters, at most {MAX_LENGTH} are allowed",
            hint="put long lists of ids into `allow` or `deny`",
        )
    return _Parser(text).whole()


class _Parser:
    """One pass over the tokens; `self.token` is the one to look at next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.place = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.place]

    def whole(self) -> Expression:
        tree = self.either()
        if self.token.kind != "end":
            self.fail("`and`, `or` or the end")
        return tree

    def either(self) -> Expression:
        operands = [self.both()]
        while self.take("keyword", "or"):
            operands.append(self.both())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def both(self) -> Expression:
        operands = [self.negation()]
        while self.take("keyword", "and"):
            operands.append(self.negation())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def negation(self) -> Expression:
        if not self.take("keyword", "not"):
            return self.condition()
        self.deeper()
        operand = self.negation()
        self.depth -= 1
        return Not(operand)

    def condition(self) -> Expression:
        if self.take("sign", "("):
            self.deeper()
            tree = self.either()
            self.expect("sign", ")")
            self.depth -= 1
            return tree
        token = self.token
        if token.kind == "keyword" and token.text in ("true", "false"):
            self.place += 1
            return Constant(token.text == "true")
        if token.kind not in ("name", "quoted"):
            self.fail("an attribute, `not` or `(`", hint="the attribute stands left: `price < 50`, not `50 > price`")
        self.place += 1
        attribute = token.text if token.kind == "name" else token.text[1:-1].replace("``", "`")
        return self.comparison(attribute)

    def comparison(self, attribute: str) -> Expression:
        operator = self.token
        if operator.kind == "sign" and operator.text in _OPERATORS:
            self.place += 1
            return Compare(attribute, cast(Operator, operator.text), self.now() or self.scalar(_VALUE))
        if self.take("keyword", "in"):
            return Within(attribute, self.listed())
        if operator.text == "not" and self.tokens[self.place + 1][:2] == ("keyword", "in"):
            self.place += 2
            return Within(attribute, self.listed(), negated=True)
        return Flag(attribute)

    def now(self) -> Now | None:
        if not self.take("keyword", "now"):
            return None
        sign = self.token.text
        if self.token.kind != "sign" or sign not in ("+", "-"):
            return Now()
        self.place += 1
        amount = self.number("a number of seconds, minutes, hours, days or weeks")
        unit = next((u for u in _UNITS if self.token.kind == "name" and self.token.text in (u, u[:-1])), None)
        if unit is None:
            self.fail("seconds, minutes, hours, days or weeks")
        self.place += 1
        return Now(-amount if sign == "-" else amount, unit)  # type: ignore[arg-type]

    def listed(self) -> tuple[Scalar, ...]:
        opened = self.token
        self.expect("sign", "[")
        values: list[Scalar] = []
        if self.take("sign", "]"):
            return ()
        while True:
            values.append(self.scalar('a number, "text", true or false'))
            if len(values) > MAX_LIST:
                self.fail(f"at most {MAX_LIST} entries in a list", opened)
            if self.take("sign", "]"):
                return tuple(values)
            if not self.take("sign", ","):
                self.fail("`,` or `]`")

    def scalar(self, wanted: str) -> Scalar:
        token = self.token
        if token.kind == "text":
            self.place += 1
            return self.unescaped(token)
        if token.kind == "keyword" and token.text in ("true", "false"):
            self.place += 1
            return token.text == "true"
        negative = self.take("sign", "-")
        value = self.number(wanted)
        return -value if negative else value

    def number(self, wanted: str) -> float:
        token = self.token
        if token.kind != "number":
            hint = "text stands in quotes" if token.kind == "name" else ""
            self.fail(wanted, hint=hint)
        value = float(token.text)
        if not math.isfinite(value):
            self.fail("a number below 1.8e308")
        self.place += 1
        return value

    def unescaped(self, token: _Token) -> str:
        def one(match: re.Match[str]) -> str:
            if match[1] not in _ESCAPES:
                self.fail(
                    "one of \\\\ \\\" \\' \\n \\t after a backslash",
                    _Token("escape", match[0], token.at + 1 + match.start()),
                )
            return _ESCAPES[match[1]]

        return re.sub(r"\\(.)", one, token.text[1:-1], flags=re.DOTALL)

    def take(self, kind: str, text: str) -> bool:
        if self.token[:2] != (kind, text):
            return False
        self.place += 1
        return True

    def expect(self, kind: str, text: str) -> None:
        if not self.take(kind, text):
            self.fail(f"`{text}`")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} brackets and `not`s inside one another", self.tokens[self.place - 1])

    def fail(self, wanted: str, token: _Token | None = None, *, hint: str = "") -> NoReturn:
        token = token or self.token
        got = (
            "the end"
            if token.kind == "end"
            else f"`{token.text if len(token.text) <= 40 else token.text[:37] + '...'}`"
        )
        _fail(self.text, token.at, f"expected {wanted}, got {got}", hint)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            _refuse(text, at)
        kind, found = match.lastgroup, match[0]
        if kind != "space":
            tokens.append(_Token("keyword" if kind == "name" and found in KEYWORDS else kind, found, at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


def _refuse(text: str, at: int) -> NoReturn:
    """Name the character that starts no token."""
    character = text[at]
    if character in "\"'`":
        _fail(text, at, f"expected a closing {character} to this one, got the end")
    hints = {"=": "equality is ==", "&": "write `and`", "|": "write `or`", "!": "write `not`, or != between two values"}
    what = repr(character) if not character.isprintable() or character.isspace() else f"`{character}`"
    _fail(
        text,
        at,
        f"expected a name, a value or an operator, got {what}",
        hints.get(character, "other names stand in `backquotes`"),
    )


def _fail(text: str, at: int, what: str, hint: str = "") -> NoReturn:
    """Raise with the place marked: at most 60 characters of the line around it."""
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    left = max(start, at - 40)
    shown = text[left : min(len(text) if end < 0 else end, left + 60)]
    shown = "".join(c if c.isprintable() else " " for c in shown)
    message = f"line {line}, column {at - start + 1}: {what}\n  {shown}\n  {' ' * (at - left)}^"
    raise BadExpression(message, hint=hint)
