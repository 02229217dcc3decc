"""What a command reports in one line, with exit code 2."""


class InputError(Exception):
    """Input or options that cannot be used; the message is one line: what came, what was expected."""


def one_line(error: Exception) -> str:
    """The first line of an error's message."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
