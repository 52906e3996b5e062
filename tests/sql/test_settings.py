"""What settings may be set to: a value that no verdict can be made with is refused where it is set."""
import re

import psycopg
import pytest

DEFAULTS = {
    "spoofed_prevalence": "0.5", "spoofed_score": "-1", "spoofed_score_alone": "-2", "spoofed_score_one_region": "-2",
    "genuine_score": "0.5", "genuine_score_one_region": "1", "verdict_full_seconds": "10",
    "verdict_rest_times": "9", "verdict_portion_sources": "400000", "hop_history_days": "3", "hop_model_retention_days": "35"}
# lowest and highest that is taken, and what is just beyond
RANGES = {name: ("-9", "0", "-9.01", "0.01") for name in DEFAULTS if name.startswith("spoofed_score")} | {
    name: ("0", "9", "-0.01", "9.01") for name in DEFAULTS if name.startswith("genuine_score")} | {
    "spoofed_prevalence": ("1e-300", "0.999999", "0", "1"), "verdict_full_seconds": ("0", "1e6", "-1", "1000001"),
    "verdict_rest_times": ("0", "1000", "-0.1", "1000.1"), "verdict_portion_sources": ("1", "10000000", "0", "10000001"),
    "hop_history_days": ("0", "35", "-1", "36"), "hop_model_retention_days": ("35", "36500", "34", "36501")}
NO_NUMBERS = ["", "many", "1,5", "NaN", "Infinity", "-Infinity", "1e999", "0.5; 1"]


@pytest.fixture(scope="module")
def owner(server, template):
    server.create("hirundo_settings", template)
    with server.connect("hirundo_settings") as connection:
        yield connection
    server.drop("hirundo_settings")


def change(owner, name: str, value) -> None:
    with owner.transaction():
        owner.execute("UPDATE hirundo.setting SET value = %s WHERE name = %s", (value, name))


def used(owner) -> dict:
    cursor = owner.execute("SELECT * FROM hirundo.verdict_settings()")
    return dict(zip((column.name for column in cursor.description), cursor.fetchone()))


def test_a_verdict_has_these_settings(owner):
    assert set(used(owner)) == set(DEFAULTS) == set(RANGES)
    stored = dict(owner.execute("SELECT name, value FROM hirundo.setting WHERE name = ANY (%s)", (list(DEFAULTS),)))
    assert stored == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_range(owner, name):
    low, high, below, above = RANGES[name]
    for value in (low, high):
        change(owner, name, value)
        assert used(owner)[name] == float(value)
    fractions = ["3.5"] if name.endswith(("_days", "_sources")) else []
    for value in [below, above, *NO_NUMBERS, *fractions]:
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            change(owner, name, value)
        allowed = "above 0 and below 1" if name == "spoofed_prevalence" else f"from {low} to {int(float(high))}"
        assert f"setting {name} can not be '{value}', only a " in str(error.value) and allowed in str(error.value)
    assert used(owner)[name] == float(high)


def test_new_rows_are_looked_at_too(owner):
    with pytest.raises(psycopg.errors.InvalidParameterValue), owner.transaction():
        owner.execute("INSERT INTO hirundo.setting VALUES ('spoofed_score', '1')"
                      " ON CONFLICT (name) DO UPDATE SET value = excluded.value")
    with pytest.raises(psycopg.errors.InvalidParameterValue), owner.transaction():
        owner.execute("UPDATE hirundo.setting SET name = 'hop_history_days' WHERE name = 'raw_retention_days'")


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_not_set_has_its_default(owner, name):
    with owner.transaction(force_rollback=True):
        owner.execute("DELETE FROM hirundo.setting WHERE name = %s", (name,))
        assert used(owner)[name] == float(DEFAULTS[name])


def test_every_setting_is_described(owner):
    """With its value after db init, but for those that are not there then."""
    (text,) = owner.execute("SELECT obj_description('hirundo.setting'::regclass)").fetchone()
    described = {name: value for name, value in re.findall(r"\b([a-z]+(?:_[a-z]+)+): [^()]*\(([^()]*)\)", text)}
    assert described.pop("rollup_retention_days") == "not set: for ever"
    assert described.pop("rollup_zone") == "not set before"
    assert described == DEFAULTS | {
        "compatible_from": "1", "reporting_zone": "UTC", "home_region": "JP", "raw_retention_days": "200",
        "connection_retention_days": "90", "status_retention_days": "400"}
    names = {name for (name,) in owner.execute("SELECT name FROM hirundo.setting")}
    assert names == set(described)
