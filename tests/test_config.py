"""Configuration: JSON round trip, overrides, and errors that name the key and the cure."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from solfa.config import (
    Config,
    ConfigError,
    from_dict,
    load_config,
    override,
    parse_assignment,
    save_config,
    to_dict,
)


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
