"""`fastrelay config`: what can be set, and what is set.

Must not live here: settings themselves (the schemas), or how they are put into words
(fastrelay.config.description).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from fastrelay.cli.keys import as_json
from fastrelay.cli.setting_options import config_option
from fastrelay.cli.tier import of_option, tier_of
from fastrelay.config.description import json_schema, markdown, schema_lines, value_lines

UNUSABLE = 2
TITLE = "Configuration of a fastrelay {tier}"


@click.group()
def config() -> None:
    """Show what can be set for a relay or a transceiver, and what is set.

    A flag goes before a variable, a variable before the file, and the file before the default.
    """


@config.command()
@config_option
@of_option
@as_json
@click.pass_context
def show(context: click.Context, config_path: Path | None, *, named: str | None, as_json: bool) -> None:
    """Show every setting as file and environment give it, and where each comes from. Secrets are not shown.

    What is wrong or missing is told on standard error, and the exit code is 2 then.

    \b
    Examples:
      fastrelay config show --config /etc/fastrelay/relay.toml
      FASTRELAY_WORKERS__COUNT=2 fastrelay config show --json
    """
    reading = tier_of(config_path, named).read(config_path, {}, os.environ)
    shown = reading.configuration.shown()
    if as_json:
        click.echo(json.dumps(shown, indent=1))
    else:
        click.echo("\n".join(value_lines(shown, shown)))
    for error in reading.problems:
        click.echo(f"fastrelay: {error}", err=True)
    if reading.problems:
        context.exit(UNUSABLE)


@config.command()
@of_option
@as_json
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables of docs/configuration.md.")
def schema(*, named: str | None, as_json: bool, as_markdown: bool) -> None:
    """Show every setting: what it takes, its default and unit, its flag and variable, and what it is for.

    With --json it is a JSON Schema (draft 2020-12) of the file, for editors.

    \b
    Examples:
      fastrelay config schema
      fastrelay config schema --of transceiver
      fastrelay config schema --json > relay.schema.json
    """
    tier = tier_of(None, named)
    if as_json:
        click.echo(json.dumps(json_schema(tier.schema, TITLE.format(tier=tier.name)), indent=1))
    elif as_markdown:
        click.echo(markdown(tier.schema), nl=False)
    else:
        click.echo("\n".join(schema_lines(tier.schema)))
