"""The argument tree. Help texts live here; what a command does lives in its module, imported when it is called."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from taowatch import __version__
from taowatch.core.wording import printable
from taowatch.paths import Paths
from taowatch.render import Result, show

_GROUPS = (
    ("Watch", ("status", "daemon", "demo")),
    ("Repair", ("history", "diff", "restore")),
    ("Run", ("run",)),
    ("Projects", ("init", "allow", "deny", "env", "check", "apply", "path")),
    ("Set-up", ("install", "uninstall", "doctor", "logs", "hook")),
)


class _Grouped(click.Group):
    """A group whose help lists the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _GROUPS:
            with formatter.section(title):
                formatter.write_dl([(n, self.commands[n].get_short_help_str(70)) for n in names if n in self.commands])


def build() -> click.Group:
    """All commands."""
    return taowatch


def _paths() -> Paths:
    return Paths.of(os.environ)


def _finish(result: Result, as_json: bool = False) -> None:
    raise SystemExit(show(result, as_json))


_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_directory = click.argument("directory", required=False, default=".", type=click.Path(path_type=Path))


@click.group(cls=_Grouped, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="taowatch")
def taowatch() -> None:
    """Watches ~/.tao_mounts.json, the one file by which NVIDIA's TAO launcher maps folders into containers.

    Example: taowatch status
    """


@taowatch.command()
@_json
@click.option("--watch", is_flag=True, help="Show it again each time it changes; ctrl-C ends.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where there is a conflict (critical or warning).")
def status(as_json: bool, watch: bool, exit_code: bool) -> None:
    """Mapping, jobs, conflicts, projects and the daemon's health.

    Example: taowatch status --json
    """
    from taowatch.commands.status import status as run

    paths = _paths()
    if not watch:
        _finish(run(paths, os.environ, exit_code), as_json)
    shown = None
    while True:
        result = run(paths, os.environ)
        if result.text != shown:
            shown = result.text
            if not as_json:
                click.clear()
            show(result, as_json)
        time.sleep(1)


@taowatch.command()
@click.option("--detach", is_flag=True, help="Start it in the background, if none runs yet.")
def daemon(detach: bool) -> None:
    """Run in the foreground what the service runs.

    Example: taowatch daemon
    """
    if detach:
        from taowatch.commands.install import detached

        return _finish(detached(_paths()))
    from taowatch.daemon import run

    return run(_paths(), os.environ)


@taowatch.command()
def demo() -> None:
    """Play the story in a scratch home, in about ten seconds.

    Example: taowatch demo
    """
    from taowatch.commands.demo import demo as run

    for text in run(os.environ):
        click.echo(text)


@taowatch.command()
@_json
def history(as_json: bool) -> None:
    """The revisions of the mounts file: who, when, what.

    Example: taowatch history
    """
    from taowatch.commands.history import history as run

    _finish(run(_paths()), as_json)


@taowatch.command()
@click.argument("revision", required=False, type=int)
@_json
def diff(revision: int | None, as_json: bool) -> None:
    """What a revision changed (by default the newest).

    Example: taowatch diff 16
    """
    from taowatch.commands.history import diff as run

    _finish(run(_paths(), revision), as_json)


@taowatch.command()
@click.argument("revision", required=False, type=int)
@_json
def restore(revision: int | None, as_json: bool) -> None:
    """Put a revision back. Without a number: the one that ends the conflict, else the one before.

    Example: taowatch restore
    """
    from taowatch.commands.history import restore as run

    _finish(run(_paths(), os.environ, revision), as_json)


@taowatch.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--project", default=".", type=click.Path(path_type=Path), help="Its directory; by default this one.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(project: Path, command: tuple[str, ...]) -> None:
    """Run the launcher on the project's own mounts file, whatever other notebooks write.

    Example: taowatch run -- tao model dino train -e /workspace/tao-experiments/dino/specs/train.yaml
    """
    from taowatch.commands.run import run as become

    become(_paths(), os.environ, project, command)


@taowatch.command()
@click.argument("target", required=False, default=".", type=click.Path(path_type=Path), metavar="[NOTEBOOK|DIR]")
@click.option("--layout", type=click.Choice(["local", "host"]), help="By default that of the notebook, else local.")
def init(target: Path, layout: str | None) -> None:
    """Make a directory a project: read its notebook, write .taowatch.toml, allow it, show its variables.

    Example: taowatch init ~/tao/yolo_v4
    """
    from taowatch.commands.project import init as run

    choose = _choose_notebook if sys.stdin.isatty() and sys.stderr.isatty() else None
    _finish(run(_paths(), target, layout, choose))


def _choose_notebook(candidates: Sequence[Path]) -> Path:
    for number, path in enumerate(candidates, start=1):
        click.echo(f"{number:>3}  {printable(path.name)}", err=True)
    number = click.prompt("Which notebook", type=click.IntRange(1, len(candidates)), err=True)
    return candidates[number - 1]


@taowatch.command()
@_directory
def allow(directory: Path) -> None:
    """Trust a project as it stands; nothing is exported from one that was not allowed.

    Example: taowatch allow
    """
    from taowatch.commands.project import allow as run

    _finish(run(_paths(), directory))


@taowatch.command()
@_directory
def deny(directory: Path) -> None:
    """Trust a project no more.

    Example: taowatch deny ~/tao/yolo_v4
    """
    from taowatch.commands.project import deny as run

    _finish(run(_paths(), directory))


@taowatch.command()
@_directory
@click.option("--shell", type=click.Choice(["bash", "zsh", "fish", "dotenv"]), default="bash", show_default=True)
@_json
@click.option("--explain", is_flag=True, help="A table of both sides, and where each value comes from.")
def env(directory: Path, shell: str, as_json: bool, explain: bool) -> None:
    """The variables of a project.

    Example: eval "$(taowatch env ~/tao/yolo_v4)"
    """
    from taowatch.commands.env import env as run

    _finish(run(_paths(), os.environ, directory, "explain" if explain else shell), as_json)


_dry_run = click.option("--dry-run", is_flag=True, help="Show exactly what would change, and change nothing.")


@taowatch.command()
@_dry_run
def install(dry_run: bool) -> None:
    """Set up the service and the hook of your shells; again: what is missing.

    Example: taowatch install --dry-run
    """
    from taowatch.commands.install import install as run

    _finish(run(_paths(), os.environ, dry_run))


@taowatch.command()
@_dry_run
@click.option("--purge", is_flag=True, help="Also remove revisions, allowed projects and configuration.")
def uninstall(dry_run: bool, purge: bool) -> None:
    """Take back what install did; what taowatch knows stays.

    Example: taowatch uninstall --dry-run
    """
    from taowatch.commands.install import uninstall as run

    _finish(run(_paths(), os.environ, dry_run, purge))


@taowatch.command()
@_json
def doctor(as_json: bool) -> None:
    """What is missing on this machine, and the command that mends it.

    Example: taowatch doctor
    """
    from taowatch.commands.doctor import doctor as run

    _finish(run(_paths(), os.environ), as_json)


@taowatch.command()
@click.option("-n", "lines", default=50, show_default=True, type=click.IntRange(min=0), help="How many lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added; ctrl-C ends.")
def logs(lines: int, follow: bool) -> None:
    """The daemon's log.

    Example: taowatch logs -n 20
    """
    from taowatch.commands.logs import follow as run_on
    from taowatch.commands.logs import logs as run

    if not follow:
        _finish(run(_paths(), lines))
    added = run_on(_paths())  # before the rest is shown, so that nothing falls in between
    show(run(_paths(), lines))
    for text in added:
        click.echo(text)


@taowatch.command()
@_directory
@_json
def check(directory: Path, as_json: bool) -> None:
    """Everything that would fail later, before an hour is lost; exit code 1 with findings.

    Example: taowatch check ~/tao/yolo_v4
    """
    from taowatch.commands.check import check as run

    _finish(run(_paths(), os.environ, directory), as_json)


@taowatch.command()
@_directory
@click.option("--force", is_flag=True, help="Even where a live job would lose its folders.")
@_json
def apply(directory: Path, force: bool, as_json: bool) -> None:
    """Write the project's mapping to the mounts file, unless a live job needs another.

    Example: taowatch apply ~/tao/yolo_v4
    """
    from taowatch.commands.apply import apply as run

    _finish(run(_paths(), os.environ, directory, force), as_json)


@taowatch.command()
@click.argument("path")
@click.option("--project", type=click.Path(path_type=Path), help="By this project's mapping, not by the file in force.")
@_json
def path(path: str, project: Path | None, as_json: bool) -> None:
    """What a host path is called in the container, and the reverse.

    Example: taowatch path /workspace/tao-experiments/data
    """
    from taowatch.commands.path import path as run

    _finish(run(_paths(), path, project), as_json)


@taowatch.command()
@click.argument("shell")
def hook(shell: str) -> None:
    """Print the shell hook.

    Example: eval "$(taowatch hook bash)"
    """
    from taowatch.commands.hook import hook as run

    _finish(Result("", stream=run(_paths(), shell)))
