import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import models.features
from angelia.errors import InvalidInput, NotFound
from models.behaviour import behaviour
from models.features import Context, encode_pairs, encode_rows
from models.logistic import material_columns
from models.past import read_past
from models.promote import main as promote_main
from models.registry import FILES, Registry
from models.scorer import Scorer
from models.train import main as train_main
from models.train import train

DS, CUTOFF = "2026-11-14", "2026-11-07"
AT = "2026-11-15T03:00:00+00:00"
WORDS = {"train": ["--ds", DS], "promote": ["--version", "v", "--by", "ada", "--reason", "good"]}


def test_the_life_of_a_model(week, registry, tmp_path, night) -> None:
    trained = train(week, registry, ds=DS, cutoff=CUTOFF, trees=20)
    files = registry.load(trained.version)
    assert set(files) == set(FILES)

    # It learned what there is to learn, and says so.
    test = trained.metrics["test"]
    assert test["auc"] > 0.6
    assert test["logloss"] < test["logloss_base_rate"]
    assert test["calibration_error"] < 0.05
    # Calibrated on rows of its own: on those it was trained on, a model looks surer than it is.
    counts = trained.metrics["n"]
    assert json.loads(files["calibration.json"])["n"] == counts["calibration"] < counts["train"]
    off_policy = trained.metrics["off_policy"]
    assert off_policy["dr"]["low"] > off_policy["logging"]["value"]  # choosing by score beats choosing evenly
    assert off_policy["ips"]["low"] < off_policy["dr"]["value"] < off_policy["ips"]["high"]
    card = files["card.md"].decode()
    assert f"{test['auc']:.4f}" in card
    assert "beats the base rate" in card

    # The same inputs, seed and code: the same bytes, in another registry too.
    other = Registry.open(tmp_path / "elsewhere")
    again = train(week, other, ds=DS, cutoff=CUTOFF, trees=20)
    assert again.version == trained.version
    assert other.load(again.version) == files
    assert train(week, registry, ds=DS, cutoff=CUTOFF, trees=20).version == trained.version
    assert train(week, registry, ds=DS, cutoff=CUTOFF, trees=20, seed=8).version != trained.version

    # Scoring encodes as training did.
    scorer = Scorer(files)
    people = week.read(week.require("user_features", ds=CUTOFF))
    past = read_past(week, CUTOFF, 28, people["ordinal"].to_numpy())
    behaved = behaviour(past.days, past.pushes, {}, scorer.population, day=20_764, n=night.N)
    users = scorer.encode_users(people, behaved)
    camera, shoes = (
        Context("sale", "sale_camera", "promo", "camera"),
        Context("sale", "sale_shoes", "promo", "shoes"),
    )
    scores = scorer.predict(users, [camera, shoes])
    assert scores.shape == (night.N, 2)
    fans, others = np.arange(night.N) % 3 == 0, np.arange(night.N) % 3 == 1
    assert scores[fans, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert scores[others].mean() == pytest.approx(0.1, abs=0.05)
    as_rows = people.append_column("campaign_id", [["sale"] * night.N]).append_column(
        "topic", [["promo"] * night.N]
    )
    as_rows = as_rows.append_column("material_id", [["sale_camera"] * night.N]).append_column(
        "category", [["camera"] * night.N]
    )
    everybody = np.arange(night.N)
    for name, values in (behaved.user | behaved.of("camera", everybody)).items():
        as_rows = as_rows.append_column(name, [values])
    pairs = encode_pairs(users, everybody, camera, scorer.vocabulary)
    np.testing.assert_array_equal(encode_rows(as_rows, scorer.vocabulary), pairs)
    # What is summed once for a person and goes on for each material is the same to the last bit.
    np.testing.assert_array_equal(scorer.predict_matrix(pairs), scores[:, 0])
    two = np.array([5, 0])
    np.testing.assert_array_equal(scorer.predict(users, [shoes], two)[:, 0], scores[two, 1])

    # Taken apart, a score is its parts and what is the same for everybody.
    _, parts = scorer.parts(pairs)
    rest = np.log(scores[:, 0] / (1 - scores[:, 0])) - parts.sum(axis=1)
    assert np.ptp(rest) < 1e-6 < np.ptp(parts.sum(axis=1))

    # A campaign nobody has seen is scored, between the extremes.
    new = scorer.predict(users, [Context("brand_new", "brand_new_sofa", "news", "sofa")])
    assert np.isfinite(new).all()
    assert scores.min() - 0.1 < new.mean() < scores.max()
    assert scorer.predict(users, [camera], np.zeros(0, dtype=np.int64)).shape == (0, 1)


def test_commands(week, settings_home, capsys) -> None:
    assert train_main(["--ds", DS, "--trees", "5", "--json"]) == 0
    version = json.loads(capsys.readouterr().out)["version"]
    (line,) = map(json.loads, (settings_home / "logs" / "angelia.jsonl").read_text().splitlines())
    assert (line["step"], line["ds"], line["version"], line["rows_out"]) == ("train", DS, version, {})
    read = [
        ("user_features", CUTOFF),
        ("catalog_snapshot", DS),
        *(("user_pushes", f"2026-11-{day:02d}") for day in range(8, 15)),
    ]
    rows = {
        name: sum(week.read(week.require(other, ds=ds)).num_rows for other, ds in read if other == name)
        for name, _ in read
    }
    assert line["rows_in"] == rows
    sent = sum(
        week.read(week.require("user_pushes", ds=ds))["kind"].to_pylist().count("sent")
        for name, ds in read
        if name == "user_pushes"
    )
    used = json.loads(Registry.open(settings_home / "models").load(version)["metrics.json"])["n"]
    assert sum(line["rejected"].values()) == sent - sum(used.values()) > 0
    words = ["--version", version, "--reason", "looks fine"]
    for answer, says in (
        (["--by", ""], "--by names nobody"),
        (["--by", "", "--answer", "", "--about", ""], "nobody answered"),  # marked as success
        (["--by", "", "--answer", "Reject", "--about", version], "no named person answered"),  # timed out
        (["--by", "", "--answer", "Approve", "--about", version], "no named person answered"),
        (["--by", "ada", "--answer", "Reject", "--about", version], "the answer was Reject"),
        (["--by", "ada", "--answer", "Yes", "--about", version], "'Yes' was not offered"),
        (["--by", "ada", "--answer", "Approve", "--about", "v0"], "the answer is about v0"),  # trained again
        (["--by", "ada", "--answer", "Approve"], "the answer is about nothing that it names"),
    ):
        assert promote_main([*words, *answer]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert says in printed.err
    assert Registry.open(settings_home / "models").champion() is None
    assert promote_main([*words, "--by", "ada", "--answer", "Approve", "--about", version]) == 2
    assert "it was not rehearsed" in capsys.readouterr().err
    assert promote_main(["--version", version, "--by", "ada", "--reason", "looks fine"]) == 0
    assert version in capsys.readouterr().out
    for argv in (
        ["--ds", "yesterday"],
        ["--ds", DS, "--cutoff", "2026-11-14"],
        ["--ds", DS, "--trees", "0"],
        ["--ds", "2030-01-01"],
    ):
        assert train_main(argv) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
    assert promote_main(["--version", "nope", "--by", "ada", "--reason", "x"]) == 2
    assert version in capsys.readouterr().err
    assert promote_main(["--version", "../../etc", "--by", "ada", "--reason", "x"]) == 2
    with pytest.raises(SystemExit):
        train_main(["--d", DS])


def test_a_material_of_the_last_days_is_known(week, registry, night, monkeypatch, capsys) -> None:
    """Sent to few, and only after the days that the held-out figures are trained on."""
    known = week.read(week.require("user_pushes", ds="2026-11-13")).to_pylist()
    new = [night.push(i, 5, 3, "sale_new", kind, 0.5 * k, message_id=f"n{i:031d}")
           for i in range(15) for k, kind in enumerate(("sent", "opened"))]  # fmt: skip
    night.write_pushes(week, [*known, *new])
    trained = train(week, registry, ds=DS, cutoff=CUTOFF, trees=5)
    files = registry.load(trained.version)
    vocabulary = json.loads(files["features.json"])["vocabulary"]["material_id"]
    assert sorted(vocabulary) == ["sale_camera", "sale_new", "sale_shoes"]
    weights = Scorer(files).logistic.weights[material_columns(Scorer(files).vocabulary)]
    assert weights[vocabulary.index("sale_new")] > 1e-7
    assert "are scored as average ones" not in capsys.readouterr().err
    monkeypatch.setattr(models.features, "MAX_SENT", 2)
    train(week, registry, ds=DS, cutoff=CUTOFF, trees=5)
    assert "1 values of material_id beyond" in capsys.readouterr().err


def test_pushes_with_one_label_cannot_be_trained_on(lake, registry, night) -> None:
    night.write_features_and_catalog(lake, 400)
    night.write_pushes(lake, [night.push(i, i % 5, 5, "sale_camera", "sent") for i in range(400)])
    with pytest.raises(InvalidInput, match="same label"):
        train(lake, registry, ds=DS, cutoff=CUTOFF)


def test_a_lake_without_a_catalog_is_refused(lake, registry, night, monkeypatch) -> None:
    monkeypatch.setattr(night, "write_catalog", lambda lake: None)
    night.write_features_and_catalog(lake, 200)
    night.write_pushes(lake, [night.push(i, i % 5, 5, "sale_camera", "sent") for i in range(200)])
    with pytest.raises(NotFound, match="catalog_snapshot has no commit") as missing:
        train(lake, registry, ds=DS, cutoff=CUTOFF)
    assert f"angelia catalog snapshot --ds {DS}" in missing.value.one_line()
    assert registry.champion() is None


def test_history_without_propensities_and_profiles_trains(lake, registry, night) -> None:
    """An imported log has rounded times, no propensity, hardly any profile; it trains."""
    rng = np.random.default_rng(9)
    empty = dict.fromkeys(
        ("gender", "age_years", "country", "province", "locale", "device_vendor", "tags", "days_since_signup")
    )
    with lake.attempt("user_features", ds=CUTOFF) as attempt:
        attempt.write(
            night.table("user_features", [night.features(i) | empty for i in range(500)]),
            "part-0000.parquet",
            shards=(0, 0),
        )
        attempt.publish()
    rows = []
    for day in range(6):
        for i in range(500):
            unknown = {"slot_propensity": None, "material_propensity": None}
            material = f"tag_{int(rng.integers(0, 4))}"
            rows.append(night.push(i, day, 3, material, "sent", **unknown))
            if rng.random() < (0.7 if material == "tag_2" else 0.3):
                rows.append(night.push(i, day, 3, material, "opened", **unknown))
    night.write_pushes(lake, rows)
    with pytest.raises(NotFound, match="catalog_snapshot") as missing:
        train(lake, registry, ds=DS, cutoff=CUTOFF)
    assert f"angelia catalog snapshot --ds {DS}" in missing.value.one_line()
    night.write_catalog(lake)
    trained = train(lake, registry, ds=DS, cutoff=CUTOFF, trees=20)
    assert trained.metrics["test"]["auc"] > 0.55
    assert not trained.metrics["off_policy"]
    assert "What would drawing" not in registry.load(trained.version)["card.md"].decode()


@pytest.mark.parametrize("module", ["train", "promote"])
def test_an_interrupt_is_one_line(module: str, settings_home: Path) -> None:
    """A real Ctrl-C, once the command has begun and looks for its settings."""
    code = f"""
import signal, sys
from models import {module}
{module}.load_settings = lambda: signal.raise_signal(signal.SIGINT)
sys.exit({module}.main({WORDS[module]}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)
    assert "interrupted; rerun the same command" in done.stderr
    assert not (settings_home / "models").exists()
