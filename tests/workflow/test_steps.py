import json
from types import SimpleNamespace

import pytest

from crepe import config
from crepe.workflow.steps import Steps

HASH = "0" * 64


def steps(thesaurus=None, vectors=None):
    """Steps of a study whose thesaurus and published vectors have these sources; those of the paper's if None."""
    catalog = {
        "thesauri": {"th_en_US_v2": {"sources": thesaurus}} if thesaurus else {},
        "vectors": {"google-news": {"sources": vectors}} if vectors else {},
    }
    return Steps(config.load(json.dumps({"catalog": catalog})), workflow=None)


def settings(found: Steps) -> list[str]:
    """The parameters of steps that read a thesaurus or published vectors."""
    wildcards = SimpleNamespace(
        dataset="ag_news", feature="chars-th", vectors="google-news", model="w2v-conv-small", seed="0"
    )
    return [getattr(found, f"{step}_settings")(wildcards) for step in ("encode", "vectors", "train")]


@pytest.mark.parametrize("section", ["thesaurus", "vectors"])
def test_the_same_file_from_another_address_is_no_other_setting(section):
    sources = [{"url": f"https://{host}.org/file", "sha256": HASH} for host in ("a", "b")]
    here, there, both = (settings(steps(**{section: some})) for some in (sources[:1], sources[1:], sources))
    assert here == there == both


@pytest.mark.parametrize(("section", "changed"), [("thesaurus", [0]), ("vectors", [1, 2])])
def test_another_file_is_another_setting_of_the_steps_that_read_it(section, changed):
    one, other = (settings(steps(**{section: [{"url": "https://a.org/file", "sha256": digit * 64}]})) for digit in "01")
    assert [number for number, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]] == changed


def test_files_without_a_checksum_are_told_by_their_addresses():
    one, other = (settings(steps(thesaurus=[{"url": name}])) for name in ("a.dat", "b.dat"))
    assert one[0] != other[0]
