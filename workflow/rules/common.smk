"""Objects that the rules share; their functions are in the package, in `crepe.workflow`."""

import os
import sys
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import update_config

import crepe.config
from crepe import layout
from crepe.config.catalog import KEY
from crepe.errors import CrepeError
from crepe.io import processes
from crepe.workflow import unfinished
from crepe.workflow.code import code
from crepe.workflow.command_line import typed
from crepe.workflow.steps import Steps

# Values of `--config` have types inside lists and mappings, too.
update_config(config, {key: typed(value) for key, value in workflow.config_settings.config.items()})

try:
    study = crepe.config.parse(config)
except CrepeError as error:
    raise WorkflowError(str(error)) from None
for key in study.datasets:
    if not study.dataset(key).sources:
        raise WorkflowError(f"configuration: catalog.datasets.{key}.sources: names none; where is its archive?")

steps = Steps(study, workflow)
RUN = layout.run(study.name, "{dataset}", "{model}", "{seed}")

# For the plugin that shows it.
logger.info("", extra={"study": study})

os.environ |= {
    # The commands of the environment that Snakemake itself runs in, activated or not.
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    # Jobs do not outlive this process.
    processes.PARENT: str(os.getpid()),
}


if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    # The environments have what the package needs; the package itself is this one. Snakemake hides PYTHONPATH from them.
    shell.prefix(f'crepe() {{ PYTHONPATH={quote(str(Path(crepe.__file__).parents[1]))} python -m crepe "$@"; }}; ')


# On a cluster these run where Snakemake does: downloads need the internet, and the others take seconds.
localrules:
    all,
    demo_data,
    download,
    thesaurus,
    published,
    table,
    report,


wildcard_constraints:
    dataset=KEY.pattern,
    thesaurus=KEY.pattern,
    feature=KEY.pattern,
    model=KEY.pattern,
    vectors=KEY.pattern,
    published=KEY.pattern,
    seed=r"\d+",


onerror:
    unfinished.show(study.name, steps.study_config())


onsuccess:
    if layout.table(study.name).exists():
        unfinished.forget(study.name)
