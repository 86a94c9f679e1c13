"""TOML text in, document out, with mistakes explained in a designer's words."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

from models.pack import Problem
from models.toml_lines import TomlLines, toml_lines

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_DECLARED = re.compile(r"Cannot declare (\(.*\)) twice")
_HEADER = re.compile(r"[ \t]*\[")
_DEEP_KEY = re.compile(
    r"(?:^|[{,\[])[ \t]*"
    r"""(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){16}""",
    re.MULTILINE,
)
_MAX_DUPLICATES = 20
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A TOML file as far as it could be read."""

    values: dict[str, object] = field(default_factory=dict)
    """Empty after a syntax error."""
    lines: TomlLines = field(default_factory=lambda: TomlLines(lines={}))
    problems: list[Problem]


def parse_document(text: str, *, file: str) -> Document:
    """Returns the document, with its duplicates and syntax errors.

    A table or key that is given twice is reported and read as if the second were not
    there, so that the rest can still be checked.
    """
    deep = _DEEP_KEY.search(text)
    if deep:
        # Keys of thousands of parts take tomllib minutes and gigabytes.
        line = text.count("\n", 0, deep.end()) + 1
        return Document(problems=[_too_deep(file, line)])
    problems: list[Problem] = []
    remaining = text
    for _ in range(_MAX_DUPLICATES):
        try:
            return Document(
                values=tomllib.loads(remaining),
                lines=toml_lines(remaining),
                problems=problems,
            )
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
            return Document(problems=[_too_deep(file, 1)])
        except ValueError as error:  # a number with thousands of digits
            return Document(problems=[Problem(file=file, line=1, message=f"{error}.")])
    return Document(problems=problems)


def _too_deep(file: str, line: int) -> Problem:
    return Problem(
        file=file,
        line=line,
        message="keys or brackets lie too deep in each other.",
        hint="No key of a pack has more than five parts.",
    )


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
