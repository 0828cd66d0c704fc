"""Shipped recipes load, settings are applied, and errors name the mistake."""

from __future__ import annotations

import json
import os
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from plainfilm.config import AUGMENTATIONS, AugmentConfig, Recipe, load_recipe, recipe_names
from plainfilm.errors import ConfigError

SMALL = """
description = "for the tests"

[input]
size = 40

[network]
name = "compact"

[fit]
epochs = 3
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def text(error: pytest.ExceptionInfo[ConfigError]) -> str:
    return str(error.value)


def test_the_documented_recipes_exist() -> None:
    assert set(recipe_names()) >= {"swift", "standard", "tutorial"}


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_is_restored_from_json(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_the_tutorial_is_the_published_one() -> None:
    recipe = load_recipe("tutorial")
    assert recipe.input.size == 150
    assert (recipe.data.limit, recipe.data.limit_balanced) == (2000, True)
    assert (recipe.fit.optimiser, recipe.fit.learning_rate) == ("adam", 1e-4)
    assert (recipe.fit.batch, recipe.fit.epochs, recipe.fit.loss) == (20, 50, "softmax")
    assert recipe.augment == AugmentConfig("tutorial", flip=True, quarter_turns=True, crop_from=176)
    other = load_recipe("tutorial", ["augment=tutorial-generator"]).augment
    assert (other.rotation, other.shift, other.shear, other.zoom) == (40, 0.2, 0.2, 0.2)
    assert (other.flip, other.fill, other.crop_from) == (True, "nearest", 0)


def test_a_recipe_by_path(small: Path) -> None:
    recipe = load_recipe(small)
    assert recipe == load_recipe(str(small))
    assert recipe.name == "small"
    assert recipe.input.size == 40
    assert recipe.fit.epochs == 3
    assert recipe.augment == AUGMENTATIONS["none"]
    assert recipe.data.limit == 0


def test_a_recipe_of_the_three_required_keys(tmp_path: Path) -> None:
    path = tmp_path / "least.toml"
    path.write_text(
        '[input]\nsize = 40\n[network]\nname = "compact"\n[fit]\nepochs = 1\n', encoding="utf-8"
    )
    recipe = load_recipe(path)
    assert (recipe.name, recipe.description, recipe.fit.epochs) == ("least", "", 1)


def test_a_recipe_cannot_be_changed(small: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        load_recipe(small).fit.epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "where", "value"),
    [
        ("fit.epochs=7", ("fit", "epochs"), 7),
        ("epochs=7", ("fit", "epochs"), 7),
        (" epochs = 7 ", ("fit", "epochs"), 7),
        ("size=96", ("input", "size"), 96),
        ("limit=600", ("data", "limit"), 600),
        ("limit_balanced=true", ("data", "limit_balanced"), True),
        ("learning_rate=1e-4", ("fit", "learning_rate"), 1e-4),
        ("learning_rate=1", ("fit", "learning_rate"), 1.0),
        ("geometry=pad", ("input", "geometry"), "pad"),
        ('geometry="pad"', ("input", "geometry"), "pad"),
        ("select=val_auroc", ("fit", "select"), "val_auroc"),
        ("augment.rotation=5", ("augment", "rotation"), 5.0),
        ("rotation=5", ("augment", "rotation"), 5.0),
        ("network.options.channels=[16, 16]", ("network", "options"), {"channels": [16, 16]}),
        ("network.options={ blocks = 2 }", ("network", "options"), {"blocks": 2}),
        ("network.name=tutorial", ("network", "name"), "tutorial"),
    ],
)
def test_settings(small: Path, setting: str, where: tuple[str, str], value: Any) -> None:
    section, key = where
    found = getattr(getattr(load_recipe(small, [setting]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_the_name_and_description_can_be_set(small: Path) -> None:
    recipe = load_recipe(small, ["name=mine", "description=a try"])
    assert (recipe.name, recipe.description) == ("mine", "a try")


def test_the_last_setting_counts(small: Path) -> None:
    assert load_recipe(small, ["epochs=4", "fit.epochs=5"]).fit.epochs == 5


def test_an_augmentation_by_name(small: Path) -> None:
    assert load_recipe(small, ["augment=radiograph"]).augment == AUGMENTATIONS["radiograph"]
    assert load_recipe(small, ["augment.name=radiograph"]).augment == AUGMENTATIONS["radiograph"]
    turned = load_recipe(small, ["augment=radiograph", "augment.rotation=3", "flip=false"]).augment
    assert (turned.rotation, turned.flip) == (3.0, False)
    assert turned.zoom == AUGMENTATIONS["radiograph"].zoom


def test_a_named_augmentation_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(SMALL + '[augment]\nname = "radiograph"\nrotation = 90\n', encoding="utf-8")
    assert load_recipe(path).augment.rotation == 90
    assert load_recipe(path, ["augment=tutorial-generator"]).augment.rotation == 40
    assert load_recipe(path, ["augment=none"]).augment == AUGMENTATIONS["none"]


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_an_augmentation_has_its_own_name(name: str) -> None:
    assert AUGMENTATIONS[name].name == name


def test_an_unknown_leaf_lists_the_known_and_suggests(small: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'epochs'") as caught:
        load_recipe(small, ["epoch=3"])
    assert "learning_rate" in text(caught)
    assert "crop_from" in text(caught)
    with pytest.raises(ConfigError, match="there is no setting 'channels'") as caught:
        load_recipe(small, ["channels=[16]"])
    assert "network.options.channels" in text(caught)


def test_an_unknown_dotted_key_lists_those_of_its_section(small: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'") as caught:
        load_recipe(small, ["fit.learning_rat=3"])
    assert "recipe.fit" in text(caught)
    assert "warmup" in text(caught)
    assert "crop_from" not in text(caught)


def test_an_unknown_section_lists_the_sections(small: Path) -> None:
    with pytest.raises(ConfigError, match="no setting 'fitt'; did you mean 'fit'") as caught:
        load_recipe(small, ["fitt.epochs=3"])
    assert "augment" in text(caught)


def test_an_unknown_key_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(SMALL + "epocs = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no setting 'epocs'; did you mean 'epochs'"):
        load_recipe(path)


@pytest.mark.parametrize("section", ["input", "data", "augment", "fit"])
def test_the_last_part_of_a_key_suffices(small: Path, section: str) -> None:
    recipe = load_recipe(small, ["augment=radiograph", "select=val_loss"])
    for leaf, value in recipe.to_json()[section].items():
        if leaf != "name":  # the name of the recipe
            settings = ["augment=radiograph", "select=val_loss", f"{leaf}={json.dumps(value)}"]
            assert load_recipe(small, settings) == recipe


@pytest.mark.parametrize("setting", ["epochs", "=3", "", "  = 3"])
def test_a_setting_is_key_equals_value(small: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        load_recipe(small, [setting])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs=many", "must be of type int"),
        ("epochs=", "must be of type int"),
        ("epochs=2.5", "must be of type int"),
        ("epochs=true", "must be of type int"),
        ("epochs=[2]", "must be of type int"),
        ("flip=1", "must be of type bool"),
        ("learning_rate=true", "must be of type float"),
        ("learning_rate=fast", "must be of type float"),
        ("learning_rate=inf", "finite"),
        ("learning_rate=nan", "finite"),
        ("description=3", "must be of type str"),
        ("network.options=3", "must be a table"),
        ("fit=3", "must be a table"),
        ("augment=3", "name or a table"),
        ("augment.name=3", "no augmentation 3"),
        ("augment.name=[1]", "no augmentation"),
        ("augment=strong", "no augmentation 'strong'"),
        ("network.name.first=compact", "is not a table"),
        ("fit.epochs.first=3", "is not a table"),
        ("geometry=stretch", "one of: squash, pad, crop"),
        ("optimiser=sgd", "one of: adam, adamw, muon"),
        ("fill=white", "one of: black, nearest"),
        ("size=7", "between 8 and 4096"),
        ("size=5000", "between 8 and 4096"),
        ("limit=-1", "negative"),
        ("validation=0", "data.validation"),
        ("validation=0.5", "data.validation"),
        ("test=1", "data.test"),
        ("rotation=-1", "between 0 and 180"),
        ("rotation=181", "between 0 and 180"),
        ("shift=1.5", "between 0 and 1"),
        ("noise=2", "between 0 and 1"),
        ("text=-1", "a share and must be between 0 and 1"),
        ("crop_from=-5", "negative"),
        ("crop_from=39", "at least input.size, which is 40"),
        ("epochs=0", "at least 1"),
        ("batch=0", "at least 1"),
        ("minimum_steps=-1", "negative"),
        ("learning_rate=0", "positive"),
        ("warmup=1", r"\[0, 1\)"),
        ("weight_decay=-0.1", "negative"),
        ("clip_norm=-1", "negative"),
        ("label_smoothing=1", r"\[0, 1\)"),
        ("patience=-1", "negative"),
        ("patience=3", "fit.select"),
    ],
)
def test_a_bad_value_is_named(small: Path, setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe(small, [setting])
    assert "Error" not in text(caught)


@pytest.mark.parametrize("setting", ["crop_from=40", "patience=0", "rotation=180", "warmup=0"])
def test_limits_are_allowed(small: Path, setting: str) -> None:
    load_recipe(small, [setting])


def test_patience_with_a_criterion(small: Path) -> None:
    assert load_recipe(small, ["patience=3", "select=val_loss"]).fit.patience == 3


@pytest.mark.parametrize("name", ["swft", "Swift", "swift.json", "", "../swift", "config"])
def test_an_unknown_recipe_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no recipe") as caught:
        load_recipe(name)
    assert "standard" in text(caught)
    assert ".toml" in text(caught)


def test_a_recipe_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "folder.toml")
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "image.toml")


def test_a_recipe_that_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("epochs: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(path)


def test_missing_sections_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('description = "nothing"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="lacks input, network, fit"):
        load_recipe(path)


def test_an_old_or_newer_recipe_of_a_bundle_is_refused() -> None:
    stored = load_recipe("swift").to_json()
    with pytest.raises(ConfigError, match="no setting 'teacher'"):
        Recipe.from_json({**stored, "teacher": {}})
    with pytest.raises(ConfigError, match="must be a table"):
        Recipe.from_json({**stored, "fit": None})


RECIPE = """
[input]
size = 32
[network]
name = "compact"
options = {channels = [16, 16]}
[fit]
epochs = 1
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[("size = 32", f"size = {value}") for value in ('"32"', "32.0", "nan", "-1", "[32]")],
        *[
            ("size = 32", f"size = {value}")
            for value in ("1979-05-27", "true", "9" * 20, "9" * 6000)
        ],
        *[("epochs = 1", f"epochs = {value}") for value in ("inf", "0", "1979-99-99", "{}")],
        *[("epochs = 1", f"epochs = 1\nbatch = {value}") for value in ("0", "1000000")],
        *[
            ("epochs = 1", f"epochs = 1\nlearning_rate = {value}")
            for value in ("nan", "-1.0", "inf")
        ],
        ("epochs = 1", "epochs = 1\nepochs = 2"),
        ("epochs = 1", "epoch = 1"),
        ("[fit]", "[[fit]]"),
        ("[16, 16]", "[nan]"),
        ("[16, 16]", "[99999999999999999999]"),
        ("{channels = [16, 16]}", "[1]"),
        ("[input]", f'name = "{"x" * 201}"\n[input]'),
        ("[input]", 'name = "a\\u001b[31m"\n[input]'),
        ("[input]", "name = 3\n[input]"),
        ("[input]", 'augment = ["radiograph"]\n[input]'),
        ("[input]", 'points.own."" = 0.5\n[input]'),
        ("[input]", 'points.own."a\\nb" = 0.5\n[input]'),
        ("[input]", "points.own.x = nan\n[input]"),
        ("[input]", "x = " + "[" * 100_000),
        ("[input]", "x = " + "{a = " * 3000 + "1" + "}" * 3000 + "\n[input]"),
        ("[input]", "#" + "x" * 2_000_000 + "\n[input]"),
        ("[input]", "\0"),
    ],
)
def test_a_hostile_recipe_is_an_error(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RECIPE, encoding="utf-8")
    load_recipe(path)
    path.write_text(RECIPE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xf6", bytes(range(256))])
def test_a_recipe_that_is_not_text_is_an_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"cannot be read|valid TOML"):
        load_recipe(tmp_path / "own.toml")


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RECIPE, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "own.toml").input.size == 32


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_recipe_that_is_a_pipe_or_a_device_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "device.toml").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_recipe(tmp_path / f"{name}.toml")


@pytest.mark.parametrize(
    "setting", ["epochs=1\nbatch=2", "epochs=" + "[" * 5000, "epochs=" + "9" * 6000, "=", "fit=1"]
)
def test_a_hostile_setting_is_an_error(setting: str) -> None:
    with pytest.raises(ConfigError):
        load_recipe("swift", [setting])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Keras:MobileNetV3Small", "keras:MobileNetV3Small"),
        ("KERAS:VGG16", "keras:VGG16"),
        ("EfficientNet-Lite1", "efficientnet-lite1"),
    ],
)
def test_a_network_with_other_capitals_is_suggested_before_weights_are_sought(
    name: str, meant: str
) -> None:
    from plainfilm.training import choose_trainer

    recipe = load_recipe("finetune", [f"network.name={name}"])
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        choose_trainer(recipe)
