"""What is shown of a first layer: against the network's own convolution, and on kernels whose answer is known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from crepe.cli import main
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.inference import first_layer as library
from crepe.inference.first_layer import PALETTE, Layer, answers, films, first_layer, levels, png, strongest
from crepe.io.files import write_json
from crepe.models import saved
from crepe.ragged import Ragged
from crepe.text.alphabet import quantize
from crepe.training import snapshots
from crepe.training.train import train
from tests.support.records import write_record
from tests.support.shards import Tiny

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{}"


@pytest.fixture(scope="module")
def run(tiny: Tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(tiny.config, "tiny", "conv-small", 0, tiny.folder / "chars", folder, "cpu")
    return folder


def looking_for(*words):
    """A layer with a kernel for each word of seven letters: 1 where a letter stands, -1 where another does."""
    layer = np.full((len(words), 69, 7), -1, np.float32)
    for number, word in enumerate(words):
        for place, letter in enumerate(word):
            layer[number, ALPHABET.index(letter), place] = 1
    return Layer(layer, np.array([0.5] * len(words), np.float32), ALPHABET)


def test_a_kernel_answers_to_the_word_it_looks_for():
    texts = ["The parlour was empty.", "A splendid, splendid parlous!", "", "short", "splendidly"]
    found = answers(looking_for("parlour", "splendi"), [1, 0], Ragged.from_rows(quantize(text) for text in texts), 3)
    assert [(answer.text, answer.value) for answer in found[0][:1]] == [("splendi", 7.5)]
    assert [answer.text for answer in found[1][:2]] == ["parlour", "parlous"]
    assert [answer.value for answer in found[1][:2]] == [7.5, 5.5]
    assert all(len({answer.text for answer in pieces}) == 3 for pieces in found)


def test_blanks_add_nothing_and_are_shown():
    (found,) = answers(looking_for("parlour"), [0], Ragged.from_rows([quantize("a par our é")]), 9)
    assert ("par·our", 6.5) in [(answer.text, answer.value) for answer in found]


def test_no_text_is_long_enough():
    assert answers(looking_for("parlour"), [0], Ragged.from_rows([quantize("par"), quantize("")])) == [[]]
    assert answers(looking_for("parlour"), [0], Ragged.from_rows([])) == [[]]


def test_a_frequent_piece_does_not_crowd_out_the_others():
    texts = Ragged.from_rows([*(quantize("parlour") for _ in range(3000)), quantize("parlous")])
    assert [answer.text for answer in answers(looking_for("parlour"), [0], texts, 2)[0]] == ["parlour", "parlous"]


def test_answers_are_what_the_networks_convolution_gives(run, tiny):
    layer, test = first_layer(run), shards.read(tiny.folder / "chars", "test")
    network = saved.load(run, torch.device("cpu")).network
    one_hot = F.one_hot(torch.from_numpy(test.values).long(), 70)[:, 1:].T.float()
    values = network.get_submodule("convolutions.0")(one_hot[None, :, None])[0, :, 0].detach().numpy()
    inside = np.repeat(np.arange(len(test)), test.lengths)
    inside = inside[:-6] == inside[6:]
    for kernel, found in zip((3, 5), answers(layer, [3, 5], test, 4), strict=True):
        expected = np.unique(values[kernel][inside])[::-1][:4]
        np.testing.assert_allclose([answer.value for answer in found], expected, rtol=1e-4)


def test_strongest_are_those_of_the_largest_norms():
    layer = Layer(np.array([1, -3, 2, 3], np.float32)[:, None, None] * np.ones((4, 69, 7), np.float32), None, ALPHABET)
    assert strongest(layer, 3) == [1, 3, 2]


def test_films_end_with_the_trained_layer(run):
    layer = first_layer(run)
    film = films(run, layer, [2, 0])
    assert list(film) == [0, 1, 2, 3]
    assert np.array_equal(film[3], layer.kernels[[2, 0]])
    assert np.array_equal(film[1], snapshots.read(run)[1][[2, 0]])


def test_of_many_epochs_some_are_shown(tmp_path):
    layer = looking_for("parlour")
    for epoch in range(31):
        snapshots.save(tmp_path, epoch, layer.kernels * (epoch + 1) / 31)
    write_record(tmp_path, epochs=30)
    assert list(films(tmp_path, layer, [0])) == [0, 7, 14, 22, 29, 30]


def test_snapshots_of_another_training_are_not_shown(tmp_path):
    layer = looking_for("parlour")
    for epoch in range(3):
        snapshots.save(tmp_path, epoch, looking_for("vanilla").kernels)
    write_record(tmp_path, epochs=2)
    assert list(films(tmp_path, layer, [0])) == [2]


def test_colours_are_symmetric_and_0_is_clear():
    film = [np.array([[1.0, -1.0], [0.0, 0.5]]), np.zeros((2, 2))]
    assert levels(film).tolist() == [[14, 7], [0, 11], [15, 15], [7, 7], [7, 7]]
    assert PALETTE[[0, 7, 14, 15], 3].tolist() == [255, 0, 255, 0]


def test_a_picture_keeps_its_pixels_in_four_bits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 16, (47, 69)).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(png(pixels))
    assert png(pixels) == png(pixels)
    assert len(png(pixels)) < pixels.size / 2 + 400
    with Image.open(tmp_path / "x.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGBA")), PALETTE[pixels])


def test_the_command(run, tiny, capsys):
    command = ["weights", str(run), "--shards", str(tiny.folder / "chars")]
    assert main(command) == 0
    *printed, picture = capsys.readouterr().out.splitlines()
    assert picture == str(run / "weights/strongest.png")
    assert len(printed) == library.SHOWN
    assert printed[0].startswith(f"kernel {strongest(first_layer(run))[0]}: '")
    first = (run / "weights/strongest.png").read_bytes()
    with Image.open(run / "weights/strongest.png") as image:
        assert image.width > 1000
    assert main(command) == 0
    assert (run / "weights/strongest.png").read_bytes() == first
    # It is no picture of an epoch.
    assert list(snapshots.read(run)) == [0, 1, 2, 3]


def test_other_shards_are_refused(run, tiny, capsys):
    assert main(["weights", str(run), "--shards", str(tiny.folder / "words")]) == 1
    assert "is not the data that" in capsys.readouterr().err


def test_a_network_without_such_a_layer(tiny, tmp_path, capsys):
    train(tiny.config, "tiny", "bow", 0, tiny.folder / "words", tmp_path, "cpu", steps=1)
    assert first_layer(tmp_path) is None
    assert main(["weights", str(tmp_path), "--shards", str(tiny.folder / "words")]) == 1
    assert "is no ConvNet over characters" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "message"), [(None, "is missing; run `crepe train`"), (b"x" * 99, "is damaged")])
def test_a_missing_or_damaged_model(tmp_path, content, message):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CrepeError, match=message):
        first_layer(tmp_path)


def test_a_damaged_record(run, tmp_path):
    for content in ({}, {"epochs": None}):
        write_json(tmp_path / "run.json", content)
        with pytest.raises(CrepeError, match=r"run.json: .*; delete it"):
            films(tmp_path, first_layer(run), [0])
