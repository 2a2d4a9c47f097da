"""Parse an audience predicate: text -> typed tree, or one line that points at the mistake.

`sql_text` and sqlglot read the SQL; everything outside the documented subset (docs/AUDIENCES.md) is refused
here, and names and types are bound to `fields.FIELDS`. Nothing is evaluated and nothing is read: parsing
needs no lake.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping

from sqlglot import exp

from angelia.audience.language import nodes
from angelia.audience.language.errors_at import error_at
from angelia.audience.language.fields import BEHIND_FUNCTIONS, FIELDS, FieldKind
from angelia.audience.language.functions import FUNCTIONS, bind_function, is_function
from angelia.audience.language.literals import bind_value, position
from angelia.audience.language.sql_text import MAX_DEPTH, read_sql
from angelia.errors import InvalidInput

MAX_LEAVES = 1_000
MAX_LIST = 1_000
MAX_HISTORY_DAYS = 365

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


def parse(
    text: str,
    audiences: Mapping[str, str] | None = None,
    *,
    history_days: int = MAX_HISTORY_DAYS,
    lists: Callable[[], Collection[str]] | None = None,
) -> nodes.Node:
    """Return the typed tree of a predicate.

    `audiences` (name -> predicate) are what `in_audience` may name. `lists` returns the explicit lists'
    names, and is called once a predicate names one; without it any name passes.

    Raises:
        InvalidInput: not in the language; the message has the column, a caret, and what was probably meant.
    """
    return _Binder(audiences or {}, history_days, lists).audience(text, ())


def check(
    text: str,
    *,
    audiences: Mapping[str, str],
    history_days: int = MAX_HISTORY_DAYS,
    lists: Callable[[], Collection[str]] | None = None,
) -> None:
    """Check a predicate, and every audience it builds on.

    Raises:
        InvalidInput: as `parse`; a cycle between audiences is named from end to end.
    """
    parse(text, audiences, history_days=history_days, lists=lists)


class _Binder:
    """One parse: resolves `in_audience` once per name, keeping the path for cycle messages."""

    def __init__(
        self, audiences: Mapping[str, str], history_days: int, lists: Callable[[], Collection[str]] | None
    ) -> None:
        self.audiences = audiences
        self.history_days = history_days
        self.lists = lists
        self.resolved: dict[str, nodes.Node] = {}

    def audience(self, text: str, path: tuple[str, ...]) -> nodes.Node:
        return _Tree(self, text, path).node

    def resolve(self, tree: _Tree, name: str, offset: int) -> nodes.Node:
        if name in tree.path:
            cycle = " -> ".join((*tree.path[tree.path.index(name) :], name))
            raise error_at(
                tree.text, offset, f"audiences refer to each other in a cycle: {cycle}", "break the cycle"
            )
        if name not in self.audiences:
            raise error_at(tree.text, offset, f"no audience {name!r}", suggest(name, self.audiences))
        if len(tree.path) >= MAX_DEPTH:
            raise error_at(tree.text, offset, f"audiences build on each other more than {MAX_DEPTH} deep")
        if name not in self.resolved:
            try:
                self.resolved[name] = self.audience(self.audiences[name], (*tree.path, name))
            except InvalidInput as error:
                if "in a cycle" in error.message or error.message.startswith("audience "):
                    raise
                raise InvalidInput(f"audience {name!r}: {error.message}", fix=error.fix) from None
        return self.resolved[name]


class _Tree:
    """The binding of one text."""

    def __init__(self, binder: _Binder, text: str, path: tuple[str, ...]) -> None:
        self.binder, self.text, self.path = binder, text, path
        self.n_leaves = 0
        try:
            self.node = self._bind(read_sql(text))
        except RecursionError:
            raise error_at(text, 0, "nested too deeply", f"at most {MAX_DEPTH} levels") from None

    def fail(self, where: exp.Expression | int, problem: str, fix: str | None = None) -> InvalidInput:
        return error_at(self.text, where if isinstance(where, int) else position(where), problem, fix)

    def _bind(self, expression: exp.Expression) -> nodes.Node:
        if isinstance(expression, exp.Paren):
            return self._bind(expression.this)
        if isinstance(expression, exp.And | exp.Or):
            return self._connect(expression)
        if isinstance(expression, exp.Not):
            return _negate(self._bind(expression.this))
        self.n_leaves += 1
        if self.n_leaves > MAX_LEAVES:
            raise self.fail(
                expression,
                f"more than {MAX_LEAVES} conditions",
                "use IN (…), or an explicit list with in_list('name')",
            )
        return self._leaf(expression)

    def _connect(self, expression: exp.And | exp.Or) -> nodes.Node:
        # sqlglot builds left-deep chains: walk them in a loop, so that length is not depth.
        same, stack = type(expression), [expression]
        joined = nodes.And if isinstance(expression, exp.And) else nodes.Or
        children: list[nodes.Node] = []
        while stack:
            current = stack.pop()
            inner = current.unnest() if isinstance(current, exp.Paren) else current
            if isinstance(inner, same):
                stack += [inner.expression, inner.this]
            else:
                bound = self._bind(current)
                # A BETWEEN is an AND of its own.
                children += bound.children if isinstance(bound, joined) else (bound,)
        return joined(tuple(children))

    def _leaf(self, expression: exp.Expression) -> nodes.Node:
        kind = type(expression)
        if kind in _COMPARISONS:
            return self._comparison(expression, _COMPARISONS[kind])
        match expression:
            case exp.Between():
                term = self._term(expression.this)
                if expression.args.get("symmetric"):
                    raise self.fail(
                        expression, "BETWEEN SYMMETRIC is not supported", "put the smaller bound first"
                    )
                low, high = (
                    self._value(term, expression.args[side], expression.this) for side in ("low", "high")
                )
                self._ordered(term, "BETWEEN", expression.this)
                return nodes.And((nodes.Compare(term, ">=", low), nodes.Compare(term, "<=", high)))
            case exp.In():
                return self._in_list(expression)
            case exp.Like():
                prefix = self._like(expression)
                return _negate(prefix) if expression.args.get("negate") else prefix
            case exp.Is():
                return self._is(expression)
            case exp.Boolean():
                return nodes.Const(bool(expression.this))
            case exp.Null():
                raise self.fail(expression, "NULL is not a condition", "write `field IS NULL`")
            case exp.Column():
                term = self._term(expression)
                if isinstance(term, nodes.FieldTerm) and FIELDS[term.name].kind is FieldKind.FLAG:
                    return nodes.Compare(term, "=", True)
                raise self.fail(
                    expression, f"{term.sql()} alone is not a condition", "compare it with a value"
                )
        if is_function(expression):
            bound = bind_function(self.text, expression, self.binder.history_days)
            # A term such as days_since('open') has a value, but it is not yet a condition.
            if isinstance(bound, nodes.Term):
                raise self.fail(
                    expression, f"{bound.sql()} alone is not a condition", "compare it with a number"
                )
            if isinstance(bound, nodes.InAudience):
                return nodes.InAudience(
                    bound.name, self.binder.resolve(self, bound.name, position(expression))
                )
            # Without a lake to ask (`lists` is None), any name passes.
            if (
                isinstance(bound, nodes.InList)
                and self.binder.lists is not None
                and bound.name not in (there := self.binder.lists())
            ):
                fix = suggest(bound.name, there) if there else "make one with `angelia audience list`"
                raise self.fail(expression, f"no list {bound.name!r}", fix)
            return bound
        raise self._unsupported(expression)

    def _comparison(self, expression: exp.Expression, op: str) -> nodes.Node:
        left, right = expression.this.unnest(), expression.expression.unnest()
        if _is_literal(left) and not _is_literal(right):
            left, right, op = right, left, nodes.FLIPPED[op]
        if (
            isinstance(left, exp.Column)
            and isinstance(right, exp.Column)
            and right.name.lower() not in ("nan", "infinity", "inf")
        ):
            quoted = right.this.args.get("quoted")
            fix = (
                f"a text is quoted with ': '{right.name}'"
                if quoted or right.name.lower() not in FIELDS
                else "compare a field with a value"
            )
            raise self.fail(right, "a field is compared with a field", fix)
        if (
            isinstance(right, exp.Boolean)
            and op in ("=", "<>")
            and not isinstance(left, exp.Column | exp.Literal)
        ):
            node = self._bind(left)
            return node if right.this == (op == "=") else _negate(node)
        term = self._term(left)
        value = self._value(term, right, left)
        if op in ("=", "<>"):
            equal = nodes.Compare(term, "=", value)
            return equal if op == "=" else nodes.Not(equal)
        self._ordered(term, op, left)
        return nodes.Compare(term, op, value)

    def _in_list(self, expression: exp.In) -> nodes.Node:
        if (
            expression.args.get("query") is not None
            or expression.args.get("unnest") is not None
            or expression.args.get("field") is not None
        ):
            raise self.fail(
                expression.this,
                "IN needs a list of values",
                "a list of people is in_list('name'), another audience in_audience('name')",
            )
        term = self._term(expression.this)
        if not expression.expressions:
            raise self.fail(expression.this, "IN () is empty", "give at least one value")
        if len(expression.expressions) > MAX_LIST:
            raise self.fail(
                expression.this,
                f"IN has more than {MAX_LIST} values",
                "use an explicit list with in_list('name')",
            )
        values = dict.fromkeys(
            self._value(term, value.unnest(), expression.this) for value in expression.expressions
        )
        return nodes.OneOf(term, tuple(values))

    def _like(self, expression: exp.Like) -> nodes.Node:
        term = self._term(expression.this)
        if not isinstance(term, nodes.FieldTerm) or FIELDS[term.name].kind not in (
            FieldKind.TEXT,
            FieldKind.SET,
        ):
            raise self.fail(expression.this, f"LIKE needs a text field, and {term.sql()} is not one")
        pattern = expression.expression
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise self.fail(pattern, "LIKE needs a quoted text", "LIKE 'prefix%'")
        prefix = pattern.this[:-1]
        if not pattern.this.endswith("%") or "%" in prefix or "_" in prefix or not prefix:
            raise self.fail(
                pattern,
                "LIKE knows only 'prefix%'",
                "use = for the whole text; _ and inner % are not supported",
            )
        return nodes.Prefix(term, prefix)

    def _is(self, expression: exp.Is) -> nodes.Node:
        other = expression.expression
        if isinstance(other, exp.Null):
            return nodes.IsNull(self._term(expression.this))
        term = self._term(expression.this)
        if (
            isinstance(other, exp.Boolean)
            and isinstance(term, nodes.FieldTerm)
            and FIELDS[term.name].kind is FieldKind.FLAG
        ):
            equal = nodes.Compare(term, "=", bool(other.this))
            # `IS TRUE` is never unknown; `= TRUE` is unknown for a person whose flag is.
            return nodes.And((equal, nodes.Not(nodes.IsNull(term)))) if FIELDS[term.name].nullable else equal
        raise self.fail(
            expression.this, "only IS [NOT] NULL, and IS [NOT] TRUE or FALSE on flags, are supported"
        )

    def _term(self, expression: exp.Expression) -> nodes.Term:
        expression = expression.unnest()
        if is_function(expression):
            bound = bind_function(self.text, expression, self.binder.history_days)
            if not isinstance(bound, nodes.Term):
                raise self.fail(
                    expression,
                    f"{nodes.sql(bound)} is a condition, not a value",
                    "use it by itself, or with NOT",
                )
            return bound
        if not isinstance(expression, exp.Column):
            raise self._unsupported(expression)
        name = expression.name.lower()
        if expression.args.get("table") is not None:
            raise self.fail(expression, f"unknown field {expression.sql()!r}", "fields have no table name")
        # sqlglot reads these as column names.
        if name in ("nan", "inf", "infinity"):
            raise self.fail(expression, f"{name} is not a number people can have")
        if name not in FIELDS:
            # Each likely misunderstanding gets the way to write it, before a guess by spelling.
            if name in BEHIND_FUNCTIONS:
                raise self.fail(expression, f"{name!r} is not a field", f"write {BEHIND_FUNCTIONS[name]}")
            if name == "user_id":
                raise self.fail(
                    expression,
                    "people are not selected by user_id",
                    "make an explicit list and use in_list('name')",
                )
            if name in FUNCTIONS:
                raise self.fail(expression, f"{name} needs arguments", FUNCTIONS[name].usage)
            raise self.fail(expression, f"unknown field {name!r}", suggest(name, FIELDS))
        return nodes.FieldTerm(name)

    def _value(self, term: nodes.Term, expression: exp.Expression, near: exp.Expression) -> nodes.Value:
        return bind_value(self.text, term, expression, position(expression, position(near)))

    def _ordered(self, term: nodes.Term, op: str, where: exp.Expression) -> None:
        if isinstance(term, nodes.FieldTerm) and FIELDS[term.name].kind in (
            FieldKind.FLAG,
            FieldKind.SET,
            FieldKind.TEXT,
        ):
            raise self.fail(
                where,
                f"{op} makes no sense for {term.name}",
                "use =, <>, IN or LIKE" if FIELDS[term.name].kind is FieldKind.TEXT else "use =, <> or IN",
            )

    def _unsupported(self, expression: exp.Expression) -> InvalidInput:
        if isinstance(expression, exp.Query | exp.Subquery | exp.Exists):
            return self.fail(
                expression, "a subquery is not allowed", "another audience is in_audience('name')"
            )
        if isinstance(expression, exp.Anonymous | exp.Func):
            name = (
                expression.name.lower()
                if isinstance(expression, exp.Anonymous)
                else expression.sql_name().lower()
            )
            return self.fail(expression, f"unknown function {name!r}", suggest(name, FUNCTIONS))
        what = {
            "Alias": "two conditions stand side by side",
            "Literal": "a value alone is not a condition",
        }.get(type(expression).__name__, f"{type(expression).__name__} is not part of the predicate language")
        return self.fail(
            expression, what, "join conditions with AND or OR" if isinstance(expression, exp.Alias) else None
        )


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the nearest known names as a hint."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    return (
        f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(names)[:40]) or 'none'}"
    )


def _is_literal(expression: exp.Expression) -> bool:
    return isinstance(
        expression, exp.Literal | exp.Boolean | exp.Null | exp.Neg | exp.Cast | exp.Interval | exp.CurrentDate
    )


def _negate(node: nodes.Node) -> nodes.Node:
    return node.child if isinstance(node, nodes.Not) else nodes.Not(node)
