"""The command line: `angelia COMMAND …`.

Each room of the house brings its own commands, which are loaded only when named.
"""

from __future__ import annotations

import difflib
import importlib
import signal
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from angelia import __version__, logs
from angelia.commands.examples import EXAMPLES
from angelia.errors import INTERRUPTED, AngeliaError
from angelia.output import print_lines, speak_utf8

HELP, VERSION = ("--help", "-h", "help"), "--version"
# name -> (module, attribute, one line for the list of commands)
COMMANDS = {
    "world": (
        "angelia.commands.world",
        "app",
        "A simulated population: create its sources, answer its messages.",
    ),
    "catalog": (
        "angelia.commands.catalog",
        "app",
        "Campaigns, audiences, materials, templates, channels, experiments.",
    ),
    "audience": (
        "angelia.commands.audience",
        "app",
        "Count, explain and export audiences: SQL predicates over bitmaps.",
    ),
    "plan": ("angelia.commands.plan", "app", "A night's joint decision: volumes, prices, gap, reasons."),
    "why": (
        "angelia.commands.plan",
        "why",
        "Explain why a person got this message, at this time, and not another.",
    ),
    "timing": ("angelia.commands.timing.show", "app", "When a person responds, and how that is known."),
    "bootstrap": (
        "angelia.commands.bootstrap",
        "command",
        "Build the first features and the first model from the history at hand.",
    ),
    "rehearse": (
        "angelia.commands.rehearse",
        "command",
        "Let a model version decide in a simulated shop before it is promoted.",
    ),
    "import": (
        "angelia.commands.import_",
        "command",
        "Map your CSV or Parquet files into the source contracts.",
    ),
    "deliver": ("angelia.commands.deliver", "deliver", "Send committed manifests to the channel providers."),
    "sandbox": (
        "angelia.commands.deliver",
        "sandbox",
        "Run local provider endpoints with real wire shapes and scripted faults.",
    ),
    "receive": (
        "angelia.commands.receive",
        "command",
        "Accept providers' callbacks: opens, reports, bounces, unsubscribes.",
    ),
    "intake": (
        "angelia.commands.receive",
        "intake",
        "Take messages by REST and keep them; make, list and revoke API keys.",
    ),
    "ledger": ("angelia.commands.deliver", "ledger", "The outcome of every row; release and resend."),
    "quality": ("angelia.commands.quality", "app", "Data-quality gates and their verdicts."),
    "lake": ("angelia.commands.lake", "app", "Commits: log, show, verify, expire, erase."),
    "report": (
        "angelia.commands.report",
        "report",
        "Write a night's report as one self-contained HTML page.",
    ),
    "effects": (
        "angelia.commands.effects.app",
        "app",
        "What messages were worth over many nights, and how long until an effect can be seen.",
    ),
    "loop": (
        "angelia.commands.loop",
        "command",
        "Run the whole loop on a simulated population, as `make run` does.",
    ),
    "doctor": ("angelia.commands.doctor", "command", "Show what is installed, reachable and configured."),
}


def build(names: Sequence[str]) -> typer.Typer:
    """Return the application with the named commands mounted."""
    app = typer.Typer(
        name="angelia",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # joins the lines of a docstring's paragraph
        help="Decide who gets which message, when, and through which channel.",
    )
    app.callback()(lambda: None)
    for name in names:
        module, attribute, line = COMMANDS[name]
        target = getattr(importlib.import_module(module), attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=line)
        else:
            app.command(name, help=target.__doc__ or line)(target)
    _end_with_examples(app)
    return app


def _end_with_examples(app: typer.Typer, group: str = "") -> None:
    """Let each command's help end with its example."""
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        example = EXAMPLES.get(f"{group} {name}".strip())
        command.epilog = f"Example: {example}" if example else None
    for each in app.registered_groups:
        if each.typer_instance is not None:
            _end_with_examples(each.typer_instance, f"{group} {each.name}".strip())


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; an error an operator can act on is one line on stderr and exit code 2."""
    speak_utf8()
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] not in (*COMMANDS, *HELP, VERSION):
        near = _near(args[0])
        hint = f"; did you mean `angelia {near}`?" if near else "; `angelia --help` lists them"
        sys.stderr.write(f"error: no command {args[0]!r}{hint}\n")
        sys.exit(2)
    try:
        if not args or args[0] in HELP:
            print_lines(_help())
            sys.exit(0)
        if args[0] == VERSION:
            print_lines([f"angelia {__version__}"])
            sys.exit(0)
        with logs.step(_step_name(args), args, always=False) as step:
            code = build([args[0]])(args, prog_name="angelia", standalone_mode=False)
            if code == 128 + signal.SIGINT:  # Typer has taken Ctrl-C without a word
                raise KeyboardInterrupt
            step.result = "error" if isinstance(code, int) and code else "ok"
    except TyperException as error:
        message = " ".join(error.format_message().split()).removesuffix(".")
        # A validator's prefix tells nobody anything.
        message = message.replace(": Value error, ", ": ")
        if message:  # a group without a command has printed its help and says nothing more
            context = getattr(error, "ctx", None)
            path = context.command_path if context else f"angelia {args[0]}"
            comma = "" if message.endswith("?") else ";"
            sys.stderr.write(f"error: {message}{comma} see `{path} --help`\n")
        sys.exit(2)
    except AngeliaError as error:
        sys.stderr.write(f"error: {error.one_line()}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _help() -> list[str]:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    usage = "Usage: angelia COMMAND [OPTIONS]   (angelia COMMAND --help explains each; --json "
    commands = [f"  {name:<{width}}  {line}" for name, (_, _, line) in COMMANDS.items()]
    return [usage + "prints one JSON object)", "", *commands]


def _near(word: str) -> str:
    """Return the command, alone or in a group, nearest to a mistyped word, or ""."""
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    if near:
        return near[0]
    for name in COMMANDS:  # `angelia count` means `angelia audience count`
        app = getattr(importlib.import_module(COMMANDS[name][0]), COMMANDS[name][1])
        registered = app.registered_commands if isinstance(app, typer.Typer) else []
        if word in {command.name or command.callback.__name__ for command in registered if command.callback}:
            return f"{name} {word}"
    return ""


def _step_name(args: Sequence[str]) -> str:
    """Return what the command is called in logs and metrics: `plan guard`, `report`."""
    module, attribute, _ = COMMANDS[args[0]]
    is_group = isinstance(getattr(importlib.import_module(module), attribute), typer.Typer)
    return " ".join(args[: 2 if is_group else 1])


if __name__ == "__main__":
    main()
