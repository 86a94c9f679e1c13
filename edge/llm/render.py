"""Renders a chat template; run by ``edge.child`` in a process with limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment


def run(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the template's text for each conversation, "" where it refuses one."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda _format: "today"
    texts: list[str] = []
    error = ""
    for messages in payload["conversations"]:
        try:
            texts.append(
                environment.from_string(payload["template"]).render(
                    messages=messages,
                    add_generation_prompt=True,
                    bos_token=payload["bos"],
                    eos_token=payload["eos"],
                )
            )
        except TemplateError as cause:
            texts.append("")
            error = error or f"{type(cause).__name__}: {cause}"
    return {"texts": texts, "error": error}


def _refuse(message: str) -> None:
    raise TemplateError(message)
