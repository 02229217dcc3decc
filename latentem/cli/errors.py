"""What a command reports in one line, with exit code 2."""


class InputError(Exception):
    """Input or options that cannot be used; the message is one line: what came, what was expected."""


class OutputError(Exception):
    """Results that cannot be written; the message is one line. Nothing half-written is left."""


def shown(text: str) -> str:
    """Text as a terminal may have it: control characters, such as those of column names, are escaped."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(error: Exception) -> str:
    """The first line of an error's message."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
