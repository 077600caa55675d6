"""A program on a separate terminal: a real pseudo-terminal that can be read, typed into and resized."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CLEARED = "\x1b[2J"


class Terminal:
    """Runs a command, its standard streams on the terminal, until the block ends."""

    def __init__(self, command, columns=120, lines=40, cwd=None, **environment):
        self._leader, follower = pty.openpty()
        self._resize(columns, lines)
        unset = ("COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
        base = {name: value for name, value in os.environ.items() if name not in unset}
        base |= {"TERM": "xterm-256color", "LANG": "en_US.UTF-8", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=base | environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )
        os.close(follower)
        self.raw = b""
        """Everything that it has written."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._leader)

    @property
    def text(self):
        return self.raw.decode()

    def until(self, sign, start=0, seconds=120):
        """Read on until `sign` has been written, as it is or in pieces of several styles, behind byte `start`."""
        end = time.monotonic() + seconds
        while sign not in (text := self.raw[start:].decode(errors="ignore")) and sign not in CONTROL.sub("", text):
            assert time.monotonic() < end, f"no {sign!r} in:\n{self.text[-3000:]}"
            assert self._read(end), f"ended without {sign!r}:\n{self.text[-3000:]}"

    def end(self, seconds=120):
        """Read to the end; returns the exit status."""
        end = time.monotonic() + seconds
        while self._read(end):
            assert time.monotonic() < end, self.text[-3000:]
        return self.process.wait(seconds)

    def type(self, text):
        os.write(self._leader, text.encode())

    def resize(self, columns, lines):
        self._resize(columns, lines)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def _resize(self, columns, lines):
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self, end):
        if not select.select([self._leader], [], [], max(0.0, end - time.monotonic()))[0]:
            return True
        try:
            piece = os.read(self._leader, 65536)
        except OSError:  # Linux says so at the end.
            return False
        self.raw += piece
        return bool(piece)


def lines(text):
    """The lines of a part of what was written, without what moves the cursor or clears."""
    return [CONTROL.sub("", line).strip("\r") for line in text.replace("\x1b[2K", "").split("\n")]


def _hear_ctrl_c():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Shells have what they start in the background ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
