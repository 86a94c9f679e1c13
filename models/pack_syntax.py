"""TOML text in, document out, with mistakes explained in a designer's words."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from models.pack import Problem

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_DECLARED = re.compile(r"Cannot declare (\(.*\)) twice")
_HEADER = re.compile(r"[ \t]*\[")
_MAX_DUPLICATES = 50
_HINTS = {
    "Invalid value": 'Text needs quotes: key = "text". A list needs a closing ].',
    "Illegal character '\\n'": "A quote is opened on this line and never closed.",
    "Unterminated string": "A quote is opened and never closed.",
    "Unclosed array": "A comma or the closing ] is missing before this place.",
    "Unclosed inline table": "Between { and } everything stands on one line; "
    "write a [table] of its own for more.",
    "Invalid initial character for a key part": "Between { and } everything stands "
    "on one line; write a [table] of its own for more.",
    "Unescaped '\\' in a string": "Write \\\\ for one \\, or use single quotes.",
    "Invalid statement": "A line is key = value or [table]; keys with spaces or "
    "accents need quotes.",
}


def parse_document(text: str, *, file: str) -> tuple[dict[str, Any], list[Problem]]:
    """Returns the document, and its duplicates and syntax errors.

    A table or key that is given twice is reported and read as if the second were not
    there, so that the rest can still be checked; after a syntax error the document is
    empty.
    """
    problems: list[Problem] = []
    remaining = text
    for _ in range(_MAX_DUPLICATES):
        try:
            return tomllib.loads(remaining), problems
        except tomllib.TOMLDecodeError as error:
            problem, remaining, is_duplicate = _explained(
                str(error), text=remaining, file=file
            )
            # Cutting a duplicate out may itself have broken the document: then what
            # was found before is what is true.
            if is_duplicate or not problems:
                problems.append(problem)
            if not is_duplicate:
                break
        except RecursionError:
            return {}, [Problem(file=file, line=1, message="brackets are too deep.")]
        except ValueError as error:  # a number with thousands of digits, a date
            return {}, [Problem(file=file, line=1, message=f"{error}.")]
    return {}, problems


def _explained(message: str, *, text: str, file: str) -> tuple[Problem, str, bool]:
    """Returns the problem, the text without it, and whether it was a duplicate."""
    lines = text.split("\n")
    place = _PLACE.search(message)
    number = int(place.group(1)) if place and place.group(1) else len(lines)
    message = _PLACE.sub("", message)
    declared = _DECLARED.match(message)
    if declared:
        header = ".".join(re.findall(r"'([^']*)'", declared.group(1)))
        problem = Problem(
            file=file,
            line=number,
            message=_declared_twice(header, lines[: number - 1]),
            hint="Merge the two, or rename one.",
        )
        return problem, _without_table(lines, number), True
    if message.startswith(("Cannot overwrite", "Duplicate inline")):
        key = lines[number - 1].split("=")[0].strip()
        problem = Problem(
            file=file,
            line=number,
            message=f"{key or 'a key'} is given twice.",
            hint="Keep one of the two.",
        )
        rest = [*lines[: number - 1], "", *lines[number:]]
        return problem, "\n".join(rest), message.startswith("Cannot overwrite")
    problem = Problem(
        file=file,
        line=number,
        message=f"this is not valid TOML: {message}.",
        hint=_HINTS.get(message, ""),
    )
    return problem, text, False


def _declared_twice(header: str, before: list[str]) -> str:
    pattern = re.compile(r"\s*\[\s*" + re.escape(header) + r"\s*\]")
    first = next((n for n, line in enumerate(before, 1) if pattern.match(line)), None)
    kind, _, name = header.partition(".")
    what = f'intent "{name}"' if kind == "intents" and name else f"[{header}]"
    where = f"; the first is on line {first}" if first else ""
    return f"{what} is declared twice{where}."


def _without_table(lines: list[str], number: int) -> str:
    """Returns the text with the table that starts at line ``number`` made blank."""
    end = number
    while end < len(lines) and not _HEADER.match(lines[end]):
        end += 1
    return "\n".join([*lines[: number - 1], *[""] * (end - number + 1), *lines[end:]])
