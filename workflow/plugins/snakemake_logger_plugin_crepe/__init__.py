"""Snakemake plugin of this project: targets may stand last on the command line, and `--logger crepe` is terse.

Snakemake imports its logger plugins before it reads its command line. Some of its options take every word that
follows, so `snakemake --cores 8 --resources gpu=1 all` would take `all` for a resource and fail.
"""

import sys
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

PAIRS = {"--resources", "--res", "--set-threads", "--set-resources", "--default-resources", "--config", "-C"}
FILES = {"--configfile", "--configfiles"}
"""Options that take every word that follows: `NAME=VALUE` pairs, and names of configuration files."""

CHATTER = {LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED}


def targets_first(words: list[str]) -> list[str]:
    """The words of a command line with the targets that follow a greedy option moved to the front."""
    targets, rest, option = [], [], ""
    for before, word in zip(["", *words], words, strict=False):
        option = word if word.startswith("-") else option
        value = "=" in word if option in PAIRS else before == option or word.endswith((".yaml", ".yml"))
        if word != option and option in PAIRS | FILES and not value:
            targets.append(word)
        else:
            rest.append(word)
    return targets + rest


if Path(sys.argv[0]).name == "snakemake":
    sys.argv[1:] = targets_first(sys.argv[1:])


class LogHandler(LogHandlerBase):
    """Snakemake's own messages, but one line for a job that starts and one for each that is done."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        """Print what the record says, if it is of interest."""
        text = self.format(record)
        if not self.common_settings.dryrun:
            event = getattr(record, "event", None)
            if event == LogEvent.JOB_INFO:
                text = " ".join(["start", record.rule_name, *record.wildcards.values()])
            elif event in CHATTER or record.msg == "Select jobs to execute...":
                return
        if text:
            print(text, file=sys.stderr, flush=True)
