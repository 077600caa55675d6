"""The exception that users read."""

from pathlib import Path


class CrepeError(Exception):
    """A fault of the input or of the machine, not of the program.

    The command line prints it without a traceback and exits with status 1.

    Args:
        subject: the file, line, key or option at fault.
        fault: what is wrong with it.
        remedy: what to do.
    """

    def __init__(self, subject: str | Path, fault: str, remedy: str = "") -> None:
        self.subject, self.fault, self.remedy = str(subject), fault, remedy
        super().__init__(self.subject, fault, remedy)

    def __str__(self) -> str:
        """The message: `subject: fault; remedy`. The remedy stands in its own line below a fault of several lines."""
        message = f"{self.subject}: {self.fault}"
        if not self.remedy:
            return message
        return f"{message}\n{self.remedy}" if "\n" in self.fault else f"{message}; {self.remedy}"
