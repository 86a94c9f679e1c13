"""Writes the table of messages into the README: `python -m edge.serve.reference`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.serve.wire import SCHEMA_FILE

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- messages: python -m edge.serve.reference -->"
END = "<!-- end of messages -->"

Rule = dict[str, Any]


def reference() -> str:
    """Returns every message of the schema, as Markdown."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    parts = [
        "### From the client",
        *(_message(kind, rule) for kind, rule in schema["client"].items()),
        "### From the server",
        *(_message(kind, rule) for kind, rule in schema["server"].items()),
        "### Parts of messages",
        *(_part(name, rule) for name, rule in schema["$defs"].items()),
    ]
    return "\n\n".join(parts)


def updated(text: str) -> str:
    """Returns the README with its table as the schema is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def _message(kind: str, rule: Rule) -> str:
    return "\n\n".join(
        filter(None, (f"#### `{kind}`", rule["description"], _fields(rule)))
    )


def _part(name: str, rule: Rule) -> str:
    about = rule.get("description", "")
    text = f"**{name}**: {_kind(rule)}.{' ' * bool(about)}{about}"
    return "\n\n".join(filter(None, (text, _fields(rule))))


def _fields(rule: Rule) -> str:
    rows = [
        f"| `{name}`{'' if name in rule['required'] else ' (optional)'} "
        f"| {_kind(each)} | {each.get('description', '')} |"
        for name, each in rule.get("properties", {}).items()
        if name != "type"
    ]
    if not rows:
        return ""
    return "\n".join(["| field | value | |", "|---|---|---|", *rows])


def _kind(rule: Rule) -> str:
    """Returns what values a rule allows, in a few words."""
    if "$ref" in rule:
        return str(rule["$ref"]).rpartition("/")[2]
    if "const" in rule:
        return f"`{json.dumps(rule['const'])}`"
    if "enum" in rule:
        return ", ".join(f"`{value}`" for value in rule["enum"])
    if "oneOf" in rule:
        return " or ".join(_kind(each) for each in rule["oneOf"])
    match rule["type"]:
        case "array":
            return f"list of {_length(rule, 'Items')} {_kind(rule['items'])}"
        case "string" if "pattern" in rule:
            return f"text, `{rule['pattern']}`"
        case "string":
            return f"text, {_length(rule, 'Length')} characters"
        case "integer" | "number" as name:
            return f"{name}, {_number(rule['minimum'])} to {_number(rule['maximum'])}"
        case "object" if "additionalProperties" in rule:
            values = _kind(rule["additionalProperties"])
            return f"object of up to {rule['maxProperties']}, each {values}"
        case "object" if "required" in rule:
            inner = ", ".join(f"`{name}`" for name in rule["properties"])
            return f"object: {inner}"
        case _:
            return str(rule["type"])


def _length(rule: Rule, of: str) -> str:
    least, most = rule.get(f"min{of}", 0), rule[f"max{of}"]
    return f"{least}" if least == most else f"{least} to {most}"


def _number(value: float) -> str:
    return "2^53 - 1" if value == 2**53 - 1 else f"{value:g}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
