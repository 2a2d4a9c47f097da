"""An example for each command, which ends its help.

Reads and writes nothing. Enter at `EXAMPLES` (lines.py): a command's words to one command line that works on
the sample of `make run`.
"""

from angelia.commands.examples.lines import EXAMPLES

__all__ = ["EXAMPLES"]
