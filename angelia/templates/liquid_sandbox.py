"""The sandbox of templates: a small part of Liquid, without files, clock or attributes.

Template text comes from operators, values from materials and people. Values are never parsed as template.
Work is bounded: tags and filters are allow-lists; ranges, includes and the clock (`now`, `today`) do not
exist; all loops of one render share one budget of iterations; results of filters, assigned values and output
have a size limit; a failed lookup ends the render. `compile_text` gives a function for one text. Texts of
only words and plain `{{ name }}` outputs run on a fast path (one `%` formatting, see
docs/adr/0004-liquid-templates.md for the measurement); whatever it cannot do exactly as Liquid would, it
leaves to Liquid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from liquid import BoundTemplate, Environment, RenderContext, Undefined
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags import (
    assign_tag,
    case_tag,
    comment_tag,
    for_tag,
    if_tag,
    inline_comment_tag,
    unless_tag,
)
from liquid.exceptions import (
    LiquidError,
    LoopIterationLimitError,
    OutputStreamLimitError,
    ResourceLimitError,
    UndefinedError,
)
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap

from angelia.errors import InvalidInput

MAX_OUTPUT_BYTES = 65_536  # of one text; the longest any channel takes is a mail's body
MAX_LOCALS_BYTES = 16_384
MAX_ITERATIONS = 1_000
MAX_LOOPS = 10
MAX_DEPTH = 10
MAX_SOURCE = 20_000
# characters of one {{ … }} or {% … %}: Liquid's lexer takes quadratic time on long and on unclosed ones
MAX_MARKUP = 1_000

_TAGS = (
    content.Literal, output.Output, illegal.Illegal, if_tag.IfTag, unless_tag.UnlessTag, case_tag.CaseTag,
    for_tag.ForTag, for_tag.BreakTag,
    for_tag.ContinueTag, assign_tag.AssignTag, comment_tag.CommentTag, inline_comment_tag.InlineCommentTag,
)  # fmt: skip
# Left out: filters that read a clock (date), decode, need arrays of mappings, or run regular expressions on
# values (strip_html, squish).
FILTERS = (
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "default", "divided_by", "downcase",
    "escape", "first", "floor", "join", "last",
    "lstrip", "minus", "modulo", "plus", "prepend", "remove", "remove_first", "replace", "replace_first",
    "round", "rstrip", "size", "slice",
    "split", "strip", "strip_newlines", "times", "truncate", "truncatewords", "upcase", "url_encode",
)  # fmt: skip
# Errors of rendering a parsed template: Liquid's own, and Python's where its filters let them through (huge
# integers, NaN).
_RENDER_ERRORS = (
    LiquidError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

Fields = Mapping[str, object]
Render = Callable[[Fields], str]


class RowRejected(Exception):
    """One message cannot be rendered; `reason` is a word to count, free of personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Context(RenderContext):
    """A context that lacks Liquid's builtins (`now`, `today`).

    It ends the render at the first name it cannot resolve.
    """

    __slots__ = ("iterations",)

    def __init__(self, template: BoundTemplate, *, globals: Mapping[str, object] | None = None) -> None:
        super().__init__(template, globals=globals)
        self.scope = ReadOnlyChainMap(self.locals, self.globals)
        self.iterations = 0

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        value = super().get(path, token=token, default=default)
        if isinstance(value, Undefined) and default is UNDEFINED:
            raise UndefinedError(str(path[0]), token=token)
        return value

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.iterations += length
        if self.iterations > MAX_ITERATIONS:
            raise LoopIterationLimitError("loop iteration limit reached", token=None)


class _Template(BoundTemplate):
    context_class = _Context


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = MAX_DEPTH
    context_depth_limit: ClassVar[int] = MAX_DEPTH
    loop_iteration_limit: ClassVar[int | None] = MAX_ITERATIONS
    local_namespace_limit: ClassVar[int | None] = MAX_LOCALS_BYTES
    output_stream_limit: ClassVar[int | None] = MAX_OUTPUT_BYTES
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        everything = Environment()
        for tag in _TAGS:
            self.add_tag(tag)
        for name in FILTERS:
            self.add_filter(name, _bounded(name, everything.filters[name]))


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses to make a long result.

    Where one value multiplies another, it refuses before making it.
    """

    def bounded(value: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            name in ("replace", "join")
            and _repeats(name, value, args) * len(str(args[-1]) if args else " ") > MAX_OUTPUT_BYTES
        ):
            raise OutputStreamLimitError(f"{name}: result too long", token=None)
        result = function(value, *args, **kwargs)
        if isinstance(result, str | list) and len(result) > MAX_OUTPUT_BYTES:
            raise OutputStreamLimitError(f"{name}: result too long", token=None)
        return result

    for flag in ("with_context", "with_environment"):
        if getattr(function, flag, False):
            setattr(bounded, flag, True)
    return bounded


def _repeats(name: str, value: Any, args: tuple[Any, ...]) -> int:
    """Return how often the filter writes its last argument."""
    if name == "replace":
        return str(value).count(str(args[0])) if args else 0
    return len(value) if isinstance(value, list) else 0


_ENVIRONMENT = _Environment(undefined=Undefined, strict_filters=True, autoescape=False)


class CompiledText:
    """One text, parsed once: its names and its renderer. Threads may share it."""

    def __init__(self, source: str) -> None:
        """Parse a text.

        Raises:
            InvalidInput: Liquid does not parse, or it uses what the box does not have.
        """
        self.source = source
        self._template = _parse(source)
        self.names: frozenset[str] = _names(self._template)
        self.render: Render = _fast(self._template, self._slow) or self._slow

    def render_liquid(self, fields: Fields) -> str:
        """Render without the fast path: what `render` must equal.

        Raises:
            RowRejected: undefined variable, a limit, or an error in the text's logic.
        """
        return self._slow(fields)

    def _slow(self, fields: Fields) -> str:
        # newline="": the text as written, without turning a carriage return into a newline.
        buffer = LimitedStringIO(limit=MAX_OUTPUT_BYTES, newline="")
        try:
            self._template.render_with_context(_Context(self._template, globals=fields), buffer)
        except UndefinedError as error:
            # A name that stands in the template's text may be reported; one that was computed from a person's
            # value may not.
            name = str(error.args[0])
            raise RowRejected(
                f"undefined_variable:{name}" if name in self.names else "undefined_variable"
            ) from None
        except LoopIterationLimitError:
            raise RowRejected("template_loop_limit") from None
        except ResourceLimitError:
            raise RowRejected("template_output_limit") from None
        except UnicodeEncodeError:  # half of a pair of surrogates: no UTF-8 has it
            raise RowRejected("half_a_character") from None
        except _RENDER_ERRORS:
            raise RowRejected("template_error") from None
        return buffer.getvalue()


def _parse(source: str) -> BoundTemplate:
    _check_shape(source)
    try:
        template = _ENVIRONMENT.from_string(source)
        analysis = template.analyze(include_partials=False)
    except LiquidError as error:
        where = error.context()
        raise InvalidInput(
            f"liquid: {error.message}" + (f" (line {where[0]}, column {where[1] + 1})" if where else "")
        ) from None
    except RecursionError:
        raise InvalidInput("liquid: nested too deeply") from None
    for name in analysis.filters:
        if name not in FILTERS:
            raise InvalidInput(f"liquid: unknown filter {name!r}", fix=f"one of {', '.join(FILTERS)}")
    nodes = list(_walk(template.nodes))
    if sum(isinstance(node, for_tag.ForNode) for node in nodes) > MAX_LOOPS:
        raise InvalidInput(f"liquid: more than {MAX_LOOPS} loops")
    if any(isinstance(node, RangeLiteral) for node in nodes):
        raise InvalidInput(
            "liquid: ranges like (1..9) are not available", fix="loop over a text that was split"
        )
    return template


def _check_shape(source: str) -> None:
    if len(source) > MAX_SOURCE:
        raise InvalidInput(f"liquid: more than {MAX_SOURCE} characters")
    for opening in re.finditer(r"\{[{%]", source):
        closing = "}}" if opening.group() == "{{" else "%}"
        if source.find(closing, opening.end(), opening.end() + MAX_MARKUP) < 0:
            line = source.count("\n", 0, opening.start()) + 1
            raise InvalidInput(
                f"liquid: {opening.group()} is not closed by {closing} within {MAX_MARKUP} "
                f"characters (line {line})"
            )


def _walk(nodes: list[Node]) -> Iterator[Node | Expression]:
    """Yield every node and expression of a parse tree."""
    stack: list[Any] = list(nodes)
    context = RenderContext(BoundTemplate(_ENVIRONMENT, []))
    while stack:
        current = stack.pop()
        yield current
        if isinstance(current, Expression):
            stack.extend(current.children())
        else:
            stack.extend(current.expressions())
            stack.extend(current.children(context, include_partials=False))


def _names(template: BoundTemplate) -> frozenset[str]:
    return frozenset(template.analyze(include_partials=False).globals)


def _fast(template: BoundTemplate, slow: Render) -> Render | None:
    """Return a renderer for words and plain `{{ name }}` outputs; None where the text has more."""
    pattern, names = "", []
    for node in template.nodes:
        if isinstance(node, content.ContentNode):
            # The pattern is filled by one `%` formatting, so the text's own percent signs are doubled.
            pattern += node.text.replace("%", "%%")
            continue
        expression = node.expression if isinstance(node, output.OutputNode) else None
        if (
            not isinstance(expression, FilteredExpression)
            or expression.filters
            or not isinstance(expression.left, Path)
        ):
            return None
        path = expression.left.path
        # A dotted or indexed path looks into a value: Liquid's own rules apply.
        if len(path) != 1 or not isinstance(path[0], str):
            return None
        pattern += "%s"
        names.append(path[0])
    if not names:
        text = pattern.replace("%%", "%")
        try:
            is_short = len(text.encode()) <= MAX_OUTPUT_BYTES
        except UnicodeEncodeError:
            return None  # the slow path says why
        return (lambda fields: text) if is_short else None

    def fast(fields: Fields) -> str:
        try:
            values = tuple([fields[name] for name in names])
        except KeyError:
            return slow(fields)
        for value in values:
            kind = type(value)
            if kind is not str and kind is not int and kind is not float:
                return slow(fields)  # Liquid writes true as `true`, and nothing for null
        try:
            text = pattern % values
            is_short = len(text.encode()) <= MAX_OUTPUT_BYTES
        except ValueError:  # an integer of more digits than Python turns into text, or half a character
            return slow(fields)
        return text if is_short else slow(fields)

    return fast
