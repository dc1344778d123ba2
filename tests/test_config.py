"""Configuration: JSON round trip, overrides, and errors that name the key and the cure."""

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from full_disk import full_disk
from solfa.config import (
    LATER,
    Config,
    ConfigError,
    Count,
    Share,
    from_dict,
    identity,
    load_config,
    override,
    parse_assignment,
    save_config,
    to_dict,
)
from solfa.data.clips import ClipsConfig
from solfa.features import ConstantQConfig
from solfa.files import WriteError
from solfa.models.layers.conformer import ConformerConfig
from solfa.models.loading import ModelConfig
from solfa.recipes import recipe
from solfa.training import AdamWConfig, RunConfig


@dataclass(frozen=True, kw_only=True)
class Piano(Config):
    kind: Literal["piano"] = "piano"
    n_keys: int = 88


@dataclass(frozen=True, kw_only=True)
class Flute(Config):
    kind: Literal["flute"] = "flute"
    material: str = "silver"


@dataclass(frozen=True, kw_only=True)
class Band(Config):
    name: str = "trio"
    tempo_bpm: float = 120.0
    players: tuple[Piano | Flute, ...] = (Piano(), Flute())
    lead: Piano | Flute = field(default_factory=Piano)
    limit: float | None = None


def test_a_configuration_survives_the_way_to_json_and_back(tmp_path: Path) -> None:
    band = Band(players=(Flute(material="wood"), Piano(n_keys=61)), lead=Flute(), limit=0.1)
    save_config(band, tmp_path / "band.json")
    assert load_config(Band, tmp_path / "band.json") == band


def test_overrides_reach_into_groups_and_tuples() -> None:
    band = override(Band(), {"players.0.n_keys": 61, "lead": Flute(), "tempo_bpm": 90})
    assert (band.players[0], band.lead, band.tempo_bpm) == (Piano(n_keys=61), Flute(), 90.0)
    assert Band() == Band(players=(Piano(), Flute()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temp_bpm": 90}, r"no 'temp_bpm'. Did you mean 'tempo_bpm'\? Known here: name"),
        ({"players.0.keys": 61}, r"Did you mean 'n_keys'"),
        ({"players.7.n_keys": 61}, r"Known here: 0, 1"),
        ({"name.length": 3}, r"it is not a group"),
        ({"tempo_bpm": "fast"}, r"tempo_bpm: Input should be a valid number"),
        ({"players.0.n_keys": 61.5}, r"n_keys: .*integer"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_the_known_ones(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Band(), changes)


def test_an_unknown_key_in_json_is_refused_with_the_known_ones() -> None:
    values = to_dict(Band()) | {"temo_bpm": 3}
    with pytest.raises(ConfigError, match=r"temo_bpm: unknown key. Did you mean 'tempo_bpm'"):
        from_dict(Band, values)


def test_broken_json_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "band.json").write_text('{"name": ')
    with pytest.raises(ConfigError, match=r"band\.json is not valid JSON"):
        load_config(Band, tmp_path / "band.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.lr=1e-4", ("optim.lr", 1e-4)),
        ("data.manifest=a=b.jsonl", ("data.manifest", "a=b.jsonl")),
        ("limit=null", ("limit", None)),
        ("name=", ("name", "")),
    ],
)
def test_assignments_are_read_as_json_or_text(text: str, expected: tuple[str, object]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["lr", "=3"])
def test_what_is_no_assignment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"key=value, for instance optim\.lr=1e-4"):
        parse_assignment(text)


# --- numbers within bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConformerConfig(n_layers=10**9), r"n_layers is 1000000000; choose it from 1 to 1,000"),
        (lambda: ConformerConfig(dim=0), "dim is 0; choose it from 1 to 65,536"),
        (lambda: ConformerConfig(n_heads=-1), "n_heads is -1"),
        (lambda: ConformerConfig(dropout=1.5), "dropout is 1.5; choose it from 0 to 1"),
        (lambda: ConformerConfig(feed_forward_dim=10**5_000), "feed_forward_dim is far too large"),
        (lambda: ClipsConfig(clips_per_step=0), "clips_per_step is 0; choose it from 1"),
        (lambda: AdamWConfig(lr=float("nan")), "lr is nan; choose a number from 0 on"),
        (lambda: AdamWConfig(eps=0.0), r"eps is 0\.0; choose a number above 0"),
        (lambda: AdamWConfig(betas=(0.9, 2.0)), r"betas is 2\.0"),
        (lambda: ConstantQConfig(n_bins=2_000, bins_per_octave=1), "fit into no memory. Raise f_min"),
        (lambda: ConstantQConfig(f_min=0.1, bins_per_octave=2_000), "fit into no memory. Raise f_min"),
    ],
)
def test_a_number_that_no_run_can_have_is_refused_by_name(build: Callable[[], Config], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "key",
    [
        *("n_steps", "log_every", "validate_every", "checkpoint_every", "n_checkpoints_kept"),
        *("data.clips_per_step", "data.n_valid_clips", "data.clips_per_track", "data.clip_seconds"),
        *("objective.encoder.conformer.n_layers", "objective.encoder.conformer.n_heads"),
        *("objective.encoder.conformer.dim", "objective.encoder.mel.n_mels", "objective.encoder.mel.n_fft"),
        *("objective.encoder.mel.hop_length", "objective.encoder.mel.sample_rate"),
        "objective.predictions.0.target.quantizer.n_codebooks",
    ],
)
@pytest.mark.parametrize("value", [0, -1, 10**30])
def test_sizes_of_a_run_are_refused_by_their_keys(key: str, value: int) -> None:
    *_, group, name = ["", *key.split(".")]
    with pytest.raises(ConfigError, match=rf"{group}.*{name}(?: is |: Input should be )"):
        override(recipe("muq_tiny"), {key: value})


def test_a_wrong_value_is_not_drowned_by_what_other_kinds_would_find() -> None:
    with pytest.raises(ConfigError) as caught:
        override(recipe("muq_tiny"), {"objective.encoder.conformer.n_layers": 10**9})
    assert len(str(caught.value).splitlines()) == 2
    assert "objective.encoder.conformer: n_layers is 1000000000" in str(caught.value)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"(?s)optim\.kind: .*'adamw'.*optim\.kind: .*'muon'") as caught:
        override(recipe("muq_tiny"), {"optim.kind": "sgd"})
    assert len(str(caught.value).splitlines()) == 3


def _configs(hint: Any, seen: set[type]) -> Iterator[type]:
    """Every dataclass that a configuration can hold."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in seen:
        seen.add(hint)
        yield hint
        for one in dataclasses.fields(hint):
            yield from _configs(one.type, seen)
    for part in typing.get_args(hint):
        yield from _configs(part, seen)


def _is_free_number(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Annotated, Literal):
        return False
    return hint in (int, float) or any(_is_free_number(part) for part in typing.get_args(hint))


@pytest.mark.parametrize("kind", [RunConfig, ModelConfig])
def test_every_number_that_makes_a_run_or_a_model_has_bounds(kind: Any) -> None:
    found = list(_configs(kind, set()))
    assert len(found) > 10
    free = [
        f"{one.__name__}.{f.name}"
        for one in found
        for f in dataclasses.fields(one)
        if _is_free_number(f.type)
    ]
    assert not free


@dataclass(frozen=True, kw_only=True)
class Orchestra(Config):
    n_players: Count = 60
    volume: Share = 0.5
    desks: tuple[Count, ...] = (2, 2)
    n_harps: Count | None = None


def test_bounds_hold_in_tuples_and_where_there_may_be_none() -> None:
    assert Orchestra(n_harps=2).n_harps == 2
    for wrong in ({"desks": (2, 0)}, {"n_harps": 0}, {"volume": -0.1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Orchestra(**wrong)  # type: ignore[arg-type]


# --- files --------------------------------------------------------------------------------------------------


def test_a_configuration_that_did_not_change_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "band.json"
    save_config(Band(), path)
    before = path.stat().st_ino
    with full_disk():
        save_config(Band(), path)
    assert path.stat().st_ino == before


def test_on_a_full_disk_the_old_configuration_stays(tmp_path: Path) -> None:
    path = tmp_path / "band.json"
    save_config(Band(), path)
    with full_disk(100), pytest.raises(WriteError, match=r"band\.json could not be written"):
        save_config(Band(name="quartet"), path)
    assert load_config(Band, path) == Band()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff{}", b'{"n": ' + b"9" * 5_000 + b"}"])
def test_a_file_that_holds_no_configuration_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "band.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"band\.json"):
        load_config(Band, tmp_path / "band.json")


def test_a_wrong_value_in_a_file_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "band.json").write_text(json.dumps({"tempo_bpm": "fast"}))
    with pytest.raises(ConfigError, match=r"band\.json.*\n.*tempo_bpm: Input should be a valid number"):
        load_config(Band, tmp_path / "band.json")


@dataclass(frozen=True, kw_only=True)
class Inner(Config):
    """With a field that files of before do not have."""

    size: int = 3
    level: str = field(default="kept", metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class Outer(Config):
    """Several of them."""

    inner: Inner = field(default_factory=Inner)
    several: tuple[Inner, ...] = (Inner(), Inner(level="removed"))


def test_a_field_that_came_later_changes_no_identity_until_it_says_something_else() -> None:
    assert identity(Outer()) == {
        "inner": {"size": 3},
        "several": [{"size": 3}, {"size": 3, "level": "removed"}],
    }
    assert identity(Outer(inner=Inner(level="removed"))) != identity(Outer())
    assert to_dict(Outer())["inner"] == {"size": 3, "level": "kept"}
