"""Draw docs/watch.svg: what `crepe watch` shows of a study at the moment that this is run.

python docs/screenshot_watch.py STUDY docs/watch.svg     # in the project's folder, while the study runs
"""

import io
import sys

from rich.console import Console
from rich.terminal_theme import MONOKAI

from crepe.monitor.board import look
from crepe.monitor.view import View
from crepe.monitor.watch import study

name, output = sys.argv[1:]
console = Console(record=True, width=120, height=50, file=io.StringIO(), force_terminal=True, color_system="truecolor")
console.print(View(look(study(name, None))))
console.save_svg(output, title=f"crepe watch {name}", theme=MONOKAI)
