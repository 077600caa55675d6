import copy
import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from crepe import config, layout
from crepe.config import schema
from crepe.data import subset
from crepe.errors import CrepeError
from crepe.io.files import digest
from tests.support.paths import ROOT
from tests.support.shards import sgd

SCHEMA = json.loads((ROOT / schema.SCHEMA).read_text())


@pytest.fixture(autouse=True)
def _in_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def merged(overlay=None):
    content: dict[str, Any] = {}
    for name in layout.CONFIG_FILES:
        content = config.merge(content, yaml.safe_load((ROOT / "config" / name).read_text()))
    # Through JSON: values that YAML aliases share become values of their own.
    return json.loads(json.dumps(config.merge(content, overlay or {})))


def table(name):
    with (ROOT / "config/paper" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def faults(content):
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(content)]


# --- The default is the paper


def test_default_is_the_papers_grid():
    default = config.load()
    assert default.name == "paper"
    assert set(default.datasets) == {line["dataset"] for line in table("table3.csv")}
    assert set(default.models) <= {line["model"] for line in table("table4.csv")}


def test_datasets_are_those_of_table_3():
    for line in table("table3.csv"):
        entry = config.load().dataset(line["dataset"])
        assert entry.title == line["title"]
        assert entry.paper == line["dataset"]
        found = (entry.classes, entry.train_rows, entry.test_rows, entry.batches_per_epoch, entry.fields)
        names = ("classes", "train_rows", "test_rows", "epoch_minibatches", "text_fields")
        assert found == tuple(int(line[name]) for name in names)


def test_rows_with_a_thesaurus_are_those_of_table_4():
    default = config.load()
    paper = {(line["dataset"], line["model"]) for line in table("table4.csv") if line["error_pct"]}
    assert set(default.cells) == {(dataset, model) for dataset, model in paper if model in default.models}
    for key in default.models:
        if key.endswith("-th"):
            augmented, plain = default.model(key), default.model(key.removesuffix("-th"))
            assert {**augmented.feature.as_dict(), "thesaurus": None} == plain.feature.as_dict()
            assert (augmented.network, augmented.recipe) == (plain.network, plain.recipe)
            assert augmented.feature.thesaurus == "th_en_US_v2"


def test_models_stand_in_the_order_of_table_4_and_our_own_behind_them():
    order = list(dict.fromkeys(line["model"] for line in table("table4.csv")))
    for keys in (config.load().models, config.load().catalog.models):
        assert list(keys)[: len(order)] == order


def test_the_thesaurus_is_the_published_one(shared):
    path = shared / "data/th_en_US_v2.dat"
    for source in config.load().catalog.thesauri["th_en_US_v2"].sources:
        assert (source.bytes, source.sha256) == (path.stat().st_size, digest(path))


def test_sources_have_the_published_figures():
    published, catalog = table("downloads.csv"), config.load().catalog
    sources = [(key, source) for key in config.load().datasets for source in catalog.datasets[key].sources]
    sources += [("mytheas", source) for source in catalog.thesauri["th_en_US_v2"].sources if not source.local]
    assert [
        {"dataset": key, "source": source.name, "url": source.url}
        | {name: str(getattr(source, name) or "") for name in ("bytes", "sha256", "md5")}
        for key, source in sources
    ] == published
    files = [
        {"dataset": key, "split": split}
        | {
            name: str(getattr(getattr(catalog.datasets[key].csv, split), name) or "")
            for name in ("md5", "sha256", "bytes")
        }
        for key in config.load().datasets
        for split in ("train", "test")
        if catalog.datasets[key].csv
    ]
    assert files == table("csv_files.csv")


def test_paper_schedule():
    recipe = sgd(config.load().model("conv-small").recipe)
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (30, 128, 0.9, 1e-5)
    rates = [recipe.learning_rate_at(epoch) for epoch in range(40)]
    assert rates[:7] == [0.01, 0.01, 0.01, 0.005, 0.005, 0.005, 0.0025]
    # Halved ten times and no more.
    assert rates[29] == 0.01 / 2**9
    assert rates[30] == rates[39] == 0.01 / 2**10


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_is_valid_over_the_default(path):
    config.load(str(path))
    assert faults(merged(yaml.safe_load(path.read_text()))) == []


def test_subsets_come_from_the_archive_of_the_whole_too():
    catalog = config.load().catalog.datasets
    parts = {key: entry for key, entry in catalog.items() if entry.subset}
    assert not set(parts) & set(config.load().datasets)
    for key, entry in parts.items():
        whole = catalog[entry.paper]
        assert (entry.fields, entry.classes) == (whole.fields, whole.classes)
        assert entry.sources[0].local
        assert entry.sources[1:] == whole.sources
        assert entry.subset == f"config/subsets/{key}.parquet"
        assert (ROOT / entry.subset).stat().st_size < 1_000_000
        named = subset.read(ROOT / entry.subset, {"train": entry.train_rows, "test": entry.test_rows})
        # AG's News has its whole test set.
        assert set(named) == ({"train"} if entry.paper == "ag_news" else {"train", "test"})


def test_archives_of_the_subsets(shared):
    index = json.loads((shared / "data2/index.json").read_text())
    for entry in config.load().catalog.datasets.values():
        if entry.subset:
            facts, source = index[entry.paper], entry.sources[0]
            path = shared / "data2" / facts["file"]
            assert (source.local.resolve(), source.bytes) == (path.resolve(), facts["bytes"])
            assert source.sha256 == facts["sha256"]
            assert (entry.fields, entry.classes, entry.test_rows) == tuple(
                facts[name] for name in ("fields", "classes", "test_rows")
            )


# --- Overlays


def test_overlay_chooses_datasets_models_seeds_and_schedule(tmp_path):
    overlay: dict[str, Any] = {"name": "short", "datasets": ["dbpedia"], "models": ["bow"], "seeds": [3, 1]}
    overlay["training"] = {"convnet": {"epochs": 2}}
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(overlay))
    for found in (config.load(str(path)), config.load(json.dumps(overlay))):
        assert (found.name, found.datasets, found.models, found.seeds) == ("short", ("dbpedia",), ("bow",), (3, 1))
        assert sgd(found.training["convnet"]).epochs == 2
        assert sgd(found.training["convnet"]).batch_size == 128
        assert found.training["tfidf"] == config.load().training["tfidf"]


def test_overlay_repoints_a_dataset():
    entry = {"train_rows": 7, "csv": None, "sources": [{"url": "here.tgz"}]}
    found = config.load(json.dumps({"catalog": {"datasets": {"ag_news": entry}}})).dataset("ag_news")
    assert (found.train_rows, found.test_rows, found.csv) == (7, 7600, None)
    assert [source.local for source in found.sources] == [Path("here.tgz")]


def test_overlay_adds_a_dataset_whose_title_is_its_key():
    entry = {"fields": 1, "classes": 2, "train_rows": 5, "test_rows": 4, "sources": [{"url": "file:///data/a.tgz"}]}
    added = config.load(json.dumps({"datasets": ["mine"], "catalog": {"datasets": {"mine": entry}}}))
    assert added.datasets == ("mine",)
    assert added.dataset("mine").title == "mine"
    assert added.dataset("mine").sources[0].local == Path("/data/a.tgz")
    assert added.dataset("ag_news") == config.load().dataset("ag_news")


def test_a_json_file_may_have_small_numbers(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"training": {"convnet": {"weight_decay": 1e-05}}}))
    assert sgd(config.load(str(path)).training["convnet"]).weight_decay == 1e-5


def test_a_section_is_read_back():
    default = config.load()
    assert config.parse(default.as_dict()) == default


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def clashes(base, overlay):
    """Whether a mapping meets something else, which Snakemake does not take."""
    if not isinstance(base, dict) or not isinstance(overlay, dict):
        return isinstance(overlay, dict)
    return any(clashes(base[key], value) for key, value in overlay.items() if key in base)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mappings, mappings)
def test_merge_does_what_snakemake_does(base, overlay):
    before = copy.deepcopy((base, overlay))
    found = config.merge(base, overlay)
    assert (base, overlay) == before
    if not clashes(base, overlay):
        update_config(base, overlay)
        assert found == base


# --- What is refused


def nodes(value, path=()):
    """Every mapping and every other value of nested keys and values, with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from nodes(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from nodes(item, (*path, index))


def replaced(content, path, value):
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


def written(path):
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


COLLECTIONS = {("training",)} | {
    ("catalog", name) for name in ("datasets", "thesauri", "features", "networks", "models", "vectors")
}


def test_an_unknown_key_is_refused_by_name_wherever_it_stands():
    whole = merged()
    places = [path for path, value in nodes(whole) if isinstance(value, dict) and path not in COLLECTIONS]
    assert len(places) > 40
    for path in places:
        wrong = replaced(whole, (*path, "surprise"), 1)
        with pytest.raises(
            CrepeError, match=re.escape(f"configuration: {written((*path, 'surprise'))}: unknown key; known here: ")
        ):
            config.parse(wrong)
        assert faults(wrong)


@pytest.mark.slow
def test_a_value_of_the_wrong_type_is_refused_by_the_name_of_its_key():
    whole = merged()
    leaves = [path for path, value in nodes(whole) if not isinstance(value, dict)]
    assert len(leaves) > 200
    for path in leaves:
        wrong = replaced(whole, path, {"surprise": 1})
        with pytest.raises(
            CrepeError, match=re.escape(f"configuration: {written(path)}: ") + "(expected|.* is not a known kind)"
        ):
            config.parse(wrong)


def test_a_missing_key_is_named():
    whole = merged()
    for path in (("seeds",), ("catalog", "datasets", "ag_news", "classes"), ("training", "tfidf", "learning_rate")):
        wrong = copy.deepcopy(whole)
        place = wrong
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        with pytest.raises(CrepeError, match=re.escape(f"configuration: {written(path)}: is missing")):
            config.parse(wrong)
        assert faults(wrong) == [f"{path[-1]!r} is a required property"]


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"name": "a/b"}, "name: 'a/b' is not the name of a file"),
        ({"seeds": []}, "seeds: names none"),
        ({"seeds": [-1]}, "must be from 0 to 4294967295, found "),
        ({"seeds": [2**32]}, "must be from 0 to 4294967295, found "),
        ({"seeds": [True]}, "seeds[0]: expected int, found True"),
        ({"models": ["bow", "bow"]}, "models: one stands twice"),
        ({"datasets": ["ag_mews"]}, "datasets: 'ag_mews' is not in the catalog, which has ag_news, "),
        ({"models": ["bow", "conv"]}, "models: 'conv' is not in the catalog, which has bow, "),
        (
            {"training": {"convnet": {"learning_rate": 0}}},
            "training.convnet.learning_rate: must be more than 0, found 0.0",
        ),
        (
            {"training": {"convnet": {"weight_decay": "0.5"}}},
            "training.convnet.weight_decay: expected float, found '0.5'",
        ),
        ({"training": {"convnet": {"epochs": "1e1"}}}, "training.convnet.epochs: expected int, found '1e1'"),
        (
            {"training": {"convnet": {"weight_decay": "1e999"}}},
            "training.convnet.weight_decay: expected a finite number, found inf",
        ),
        (
            {"training": {"convnet": {"learning_rate": float("nan")}}},
            "training.convnet.learning_rate: expected a finite number",
        ),
        (
            {"training": {"convnet": {"momentum": 1}}},
            "training.convnet.momentum: must be 0 or more and less than 1, found 1.0",
        ),
        ({"catalog": {"datasets": {"../a": {}}}}, "catalog.datasets.../a: '../a' is not the name of a file"),
        ({"catalog": {"datasets": {"ag_news": {"fields": 4}}}}, "ag_news.fields: must be from 1 to 3, found 4"),
        ({"catalog": {"datasets": {"ag_news": {"classes": 1}}}}, "ag_news.classes: must be 2 or more, found 1"),
        (
            {"catalog": {"features": {"chars": {"kind": "signs"}}}},
            "catalog.features.chars.kind: 'signs' is not a known kind; known: characters, words",
        ),
        (
            {"catalog": {"networks": {"linear-counts": {"kind": "../linear"}}}},
            "catalog.networks.linear-counts.kind: '../linear' is not a known kind; known: convnet, linear, lstm",
        ),
        ({"catalog": {"features": {"words": {"vocab_size": None}}}}, "catalog.features.words.vocab_size: expected int"),
        (
            {"catalog": {"features": {"mine": {"kind": "ngrams", "vocab_size": 9}}}},
            "catalog.features.mine.max_n: is missing",
        ),
        (
            {"catalog": {"features": {"ngrams": {"max_n": 0}}}},
            "catalog.features.ngrams.max_n: must be 1 or more, found 0",
        ),
        ({"catalog": {"features": {"ngrams": {"longest": 5}}}}, "catalog.features.ngrams.longest: is called max_n now"),
        ({"catalog": {"networks": {"convnet-small": {"dropout": 1.0}}}}, "dropout: must be 0 or more and less than 1"),
        ({"catalog": {"networks": {"convnet-small": {"convolutions": [[7]]}}}}, "expected 2 values, found [7]"),
        ({"catalog": {"networks": {"convnet-small": {"hidden": [7]}}}}, "convnet-small.hidden: is called fc now"),
        ({"catalog": {"networks": {"lstm": {"features": 7}}}}, "is called channels (of a convnet) or hidden_size (of"),
        (
            {"catalog": {"models": {"bow": {"weights": "counts"}}}},
            "bow.weights: was removed; `vectors` names word vectors",
        ),
        ({"catalog": {"models": {"bow": {"network": "linnear"}}}}, "catalog.models.bow.network: 'linnear' is not"),
        (
            {"catalog": {"models": {"bow": {"vectors": "heavy"}}}},
            "bow.vectors: 'heavy' is not defined; known: google-news, ",
        ),
    ],
)
def test_message(overlay, message):
    with pytest.raises(CrepeError, match=re.escape(message)):
        config.load(json.dumps(overlay))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"url": "https://example.org/a.tgz"}, "a file from the network needs sha256 or md5"),
        ({"url": "a.tgz", "md5": "0" * 31}, "not 32 hexadecimal digits"),
        ({"url": "a.tgz", "sha256": "X" * 64}, "not 64 hexadecimal digits"),
    ],
)
def test_source_message(source, message):
    with pytest.raises(CrepeError, match=message):
        config.load(json.dumps({"catalog": {"datasets": {"ag_news": {"sources": [source]}}}}))


def test_a_key_must_do_for_a_file_name():
    entry = {"fields": 1, "classes": 2, "train_rows": 5, "test_rows": 4}
    with pytest.raises(CrepeError, match=re.escape("catalog.datasets.../a: '../a' is not the name of a file")):
        config.load(json.dumps({"catalog": {"datasets": {"../a": entry}}}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "line 1: is not valid YAML"),
        (b"- 1", "expected keys and values at the top level"),
        (b"a: \xff", "is not valid YAML"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(CrepeError, match=f"^{re.escape(str(path))}: {message}"):
        config.load(str(path))


def test_what_is_not_there_is_named():
    with pytest.raises(CrepeError, match=r"^nowhere\.yaml: cannot be read: No such file"):
        config.load("nowhere.yaml")
    with pytest.raises(CrepeError, match="--config: is not valid JSON"):
        config.load('{"name": }')
    default = config.load()
    for find in (default.dataset, default.thesaurus, default.feature, default.model):
        with pytest.raises(CrepeError, match="'nothing' is not in the catalog, which has "):
            find("nothing")


def test_elsewhere_the_default_is_that_of_the_package(tmp_path, monkeypatch):
    default = config.load()
    monkeypatch.chdir(tmp_path)
    assert config.load() == default
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/demo.yaml", tmp_path / "config/config.yaml")
    with pytest.raises(CrepeError, match="is missing"):
        config.load()


def test_examples_of_the_readme_are_valid(tmp_path):
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "config/README.md").read_text(), flags=re.S)
    assert len(examples) >= 4
    for example in examples:
        (tmp_path / "example.yaml").write_text(example)
        config.load(str(tmp_path / "example.yaml"))
        assert faults(merged(yaml.safe_load(example))) == []
