"""A schema and a configuration in words: for a terminal, for a page of documentation, and as a JSON Schema.

Lives here: how settings and their values are described. Must not live here: what they are (schema), reading them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from fastrelay.config.schema import Schema, Setting

DIALECT = "https://json-schema.org/draft/2020-12/schema"
WIDTH = 100


def schema_lines(schema: Schema) -> list[str]:
    """Every setting for a terminal, by section."""
    lines: list[str] = []
    for section in schema.sections:
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        for setting in schema.of_section(section):
            lines.append(f"  {setting.key}: {_type(setting)}; {_default(setting)}")
            lines += textwrap.wrap(setting.reason, WIDTH, initial_indent="      ", subsequent_indent="      ")
            lines.append(f"      {', '.join(_ways(setting))}")
    return lines


def markdown(schema: Schema) -> str:
    """Every setting as tables of a page of documentation."""
    parts: list[str] = []
    for section in schema.sections:
        rows = [
            f"| `{setting.key}` | {_type(setting)} | {_default(setting, '`')} | "
            f"{' '.join(f'`{way}`' for way in _ways(setting))} | {setting.reason} |"
            for setting in schema.of_section(section)
        ]
        head = ["| key | takes | otherwise | also as | what for |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"### [{section}]", "", *head, *rows]))
    return "\n\n".join(parts) + "\n"


def json_schema(schema: Schema, title: str) -> dict[str, Any]:
    """The file's own schema. Nothing is required in it: a variable or a flag may give what the file leaves out."""
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": {
            section: {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    setting.key: _property(setting)
                    for setting in schema.of_section(section)
                    if not setting.is_secret  # it must not stand in a file
                },
            }
            for section in schema.sections
        },
    }


def value_lines(shown: Mapping[str, Mapping[str, object]], names: Iterable[str]) -> list[str]:
    """Values with their origin, in columns."""
    rows = [(name, _value(shown[name]["value"]), str(shown[name]["from"])) for name in names]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in rows]


def _property(setting: Setting[Any]) -> dict[str, Any]:
    described = {"description": setting.reason, **setting.kind.json_schema()}
    if setting.default is not None:
        described["default"] = setting.kind.build(setting.default)
    notes: dict[str, Any] = {"variables": list(setting.variables), "isRequired": setting.is_required}
    if setting.flag is not None:
        notes["flag"] = setting.flag
    if setting.unit:
        notes["unit"] = setting.unit
    # a keyword that JSON Schema does not know is a note to it
    return {**described, "x-fastrelay": notes}


def _type(setting: Setting[Any]) -> str:
    return f"{setting.kind.allowed}, in {setting.unit}" if setting.unit else setting.kind.allowed


def _default(setting: Setting[Any], mark: str = "") -> str:
    if setting.is_required:
        return "required"
    if setting.default is None:
        return "none"
    return f"{mark}{_value(setting.kind.build(setting.default))}{mark}"


def _ways(setting: Setting[Any]) -> list[str]:
    return [*([setting.flag] if setting.flag else []), *setting.variables]


def _value(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
