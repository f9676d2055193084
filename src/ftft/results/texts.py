"""Texts from outside, made neutral: they cannot end a cell, colour a terminal or fill a page."""

import re
import unicodedata

LONGEST = 200
# Mark-up of Markdown, HTML and GitHub's formulas; not an underscore within a word, a star after one,
# or a backslash before a letter.
MARKDOWN = re.compile(r"\\(?=[!-/:-@[-`{-~])|[<`$]|\*(?=\S)|&(?=#|\w+;)|\](?=\()|(?<!\w)_|_(?!\w)")
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"−": "$-$", "≥": r"$\geq$", "†": r"$\dagger$"}
)


def plain(text: object, longest: int = LONGEST) -> str:
    """`text` on one line, without control characters and such as turn the direction of writing, and cut.

    White space becomes a space, any other character of the Unicode categories Cc, Cf, Cs, Zl and Zp its code.
    """
    text = str(text)
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return "".join(_plain_character(character) for character in text)


def _plain_character(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        return f"<U+{ord(character):04X}>"
    return character


def markdown(text: object, longest: int = LONGEST) -> str:
    """`text` as Markdown that shows it as it is, in a cell of a table too."""
    return MARKDOWN.sub(r"\\\g<0>", plain(text, longest)).replace("|", r"\|")


def paragraph(text: object) -> str:
    """A sentence of ours, with names in it, as Markdown; a bar stands for itself."""
    return MARKDOWN.sub(r"\\\g<0>", plain(text, 10**6))


def code(text: object) -> str:
    """`text` as Markdown's code, between as many backticks as it takes."""
    text = plain(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}" if text.strip() else "(empty)"


def latex(text: object) -> str:
    """`text` as LaTeX that shows it as it is."""
    return plain(text, 10**6).translate(LATEX)
