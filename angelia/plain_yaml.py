"""YAML from outside, without aliases and deep nesting: a small file is a small document.

Ten lines of aliases of aliases make a gigabyte, and a thousand brackets end the interpreter's stack. Whoever
reads a document that an operator wrote derives its loader from this one.
"""

from __future__ import annotations

import yaml

MAX_DEPTH = 100


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses what a person would not write."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node. Raises: ComposerError for an alias, or below `MAX_DEPTH` levels."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not accepted: write the value out", mark
            )
        if self.depth >= MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1
