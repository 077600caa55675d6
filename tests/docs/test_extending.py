"""docs/extending.md does what it says."""

import re
import shutil

import pytest
import yaml

from tests.support import tiny
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/extending.md").read_text()
STUDIES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)]
(NETWORK,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study["name"])
def test_a_row_of_ones_own_gets_its_place_in_the_table(tmp_path, study):
    folder = tiny.project(tmp_path)
    (folder / "crepe/models/average.py").write_text(NETWORK)
    short = {"epochs": 2, "batches_per_epoch": 20, "batch_size": 16, "learning_rate": 0.1}
    study |= {"datasets": ["toys"], "training": {"convnet": short}}
    study["catalog"]["networks"].get("convnet-shallow", {}).update(features=8, hidden=[16])
    tiny.write(folder / "mine.yaml", study)
    tiny.run(folder, "snakemake", "--cores", "1", "--resources", "gpu=1", "all", "--configfile", "mine.yaml")
    table = (folder / f"results/{study['name']}/table.csv").read_text()
    (model,) = study["catalog"]["models"]
    assert re.search(rf"^toys,{model},0,[\d.]+,", table, flags=re.M)
    shutil.rmtree(folder)
