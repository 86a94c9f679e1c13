"""The README's table is made from the schema, and is not left behind."""

from __future__ import annotations

import json

from edge.serve.reference import README, reference, updated
from edge.serve.wire import SCHEMA_FILE


def test_the_table_of_messages_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")

    # `python -m edge.serve.reference` writes it.
    assert updated(text) == text


def test_every_message_and_field_is_in_the_table() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    client, _, server = reference().partition("### From the server")

    for part, messages in ((client, schema["client"]), (server, schema["server"])):
        for kind, rule in messages.items():
            section = part.partition(f"#### `{kind}`\n")[2].partition("\n#")[0]
            for name in rule["properties"].keys() - {"type"}:
                assert f"| `{name}`" in section, (kind, name)
