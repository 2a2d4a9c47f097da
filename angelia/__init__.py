"""Angelia: offline personalization for push messages.

docs/architecture.md describes the house and its rooms.
"""

import signal
import sys
from pathlib import Path

# A program of ours imports for up to seconds before any code of its own could take Ctrl-C. While Python looks
# for what `-m` names, "-m" stands in place of the program; who imports us as a library keeps their own hook.
if sys.argv and Path(sys.argv[0]).name in {"-m", "angelia"}:
    from angelia.errors import end_on_interrupt

    end_on_interrupt()
# A worker of a pool ends without a word: its parent, which has the same Ctrl-C, says it.
if "--multiprocessing-fork" in sys.orig_argv:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

__version__ = "0.2.0"
