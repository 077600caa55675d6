"""Snakemake plugin of this project: targets may stand last on the command line, and `--logger crepe` shows the study.

Snakemake imports its logger plugins before it reads its command line. Some of its options take every word that
follows, so `snakemake --cores 8 --resources gpu=1 all` would take `all` for a resource and fail: see `move_targets`.
"""

import sys
from logging import LogRecord
from typing import Any

from rich.live import Live
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from crepe.config import Config
from crepe.monitor import view
from crepe.monitor.board import Key, State, look
from crepe.workflow.command_line import move_targets

CHATTER = {LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.JOB_STARTED}


move_targets(sys.argv)


class LogHandler(LogHandlerBase):
    """The study's grid as it fills on a terminal; elsewhere a line for a job that starts and one for each that is done.

    What else Snakemake says stands above the grid. The workflow tells which study it is by a record that has it.
    """

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Nothing is shown before the first job."""
        self._stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._study: Config | None = None
        self._jobs: dict[int, Key] = {}
        self._known: dict[Key, State] = {}
        self._display: Live | None = None

    def emit(self, record: LogRecord) -> None:
        """Print what the record says, if it is of interest."""
        self._study = getattr(record, "study", self._study)
        text = self.format(record)
        event = getattr(record, "event", None)
        fields: Any = record  # Which ones there are depends on the event.
        if self.common_settings.dryrun:
            self._print(text)
        elif event == LogEvent.JOB_INFO:
            self._start(fields.jobid, (fields.rule_name, *fields.wildcards.values()))
        elif event == LogEvent.JOB_FINISHED:
            self._known.pop(self._jobs.get(fields.job_id, ()), None)
        elif event == LogEvent.PROGRESS and self._display:
            pass  # The grid says so.
        elif event not in CHATTER and not text.startswith(("Select jobs to execute", "Touching output file")):
            if event == LogEvent.JOB_ERROR and fields.jobid in self._jobs:
                self._known[self._jobs[fields.jobid]] = State.FAILED
            self._print(text)

    def close(self) -> None:
        """Leave the last picture, and the terminal as it was."""
        if self._display:
            self._display.stop()
        super().close()

    def _start(self, number: int, job: Key) -> None:
        self._jobs[number] = job
        self._known[job] = State.RUNNING
        if self._display is None and self._study is not None and view.is_live(self._stream):
            study = self._study
            self._display = view.live(lambda: look(study, dict(self._known)), view.console(self._stream))
            self._display.start()
        if self._display is None:
            self._print(" ".join(["start", *job]))

    def _print(self, text: str) -> None:
        if text and self._display:
            self._display.console.print(text, markup=False, soft_wrap=True)
        elif text:
            print(text, file=self._stream, flush=True)
