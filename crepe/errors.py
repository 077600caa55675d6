"""The one exception that users are meant to read."""


class CrepeError(Exception):
    """A fault of the input or the machine, not of the program.

    Its text names the file, line or key, says what is wrong and what to do. The command line prints it
    without a traceback and exits with status 1.
    """
