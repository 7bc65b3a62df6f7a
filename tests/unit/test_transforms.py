from hashlib import blake2b

import msgspec
import numpy as np
import pytest

from recengine.errors import BadArtifact, ConfigInvalid, NotFitted, ShapeError
from recengine.features.definition import Counted, Feature
from recengine.features.transforms import Program, cooccurrences, fit_transforms
from recengine.features.transforms.embedding import vectors


def feature(name, transform, dtype="number", **more):
    return Feature(name=name, entity="item", how=Counted("item", name), dtype=dtype, transform=transform, domain=more.pop("domain", name), **more)


def fitted(transform, values, *, dtype="number", labels=None, outcomes=None, folds=None, together=None, **more):
    values = np.asarray(values, np.float32)[np.newaxis]
    one = feature(more.pop("name", "x"), transform, dtype, **more)
    folds = np.zeros(values.shape[1], np.int32) if folds is None else np.asarray(folds, np.int32)
    outcomes = None if outcomes is None else np.asarray(outcomes, np.float32)
    return fit_transforms((one,), values, {one.domain: labels} if labels is not None else {}, outcomes, folds, together)


def applied(program, *values):
    return program.apply(np.array(values, np.float32)[np.newaxis])


SKEWED = np.random.default_rng(3).exponential(40, 5000).astype(np.float32)


@pytest.mark.parametrize(
    ("transform", "want"),
    [
        ("none", SKEWED),
        ("standard", np.clip((SKEWED - SKEWED.mean(dtype=float)) / SKEWED.std(dtype=float), -10, 10)),
        ("robust", np.clip((SKEWED - np.median(SKEWED)) / np.subtract(*np.percentile(SKEWED.astype(float), [75, 25])), -10, 10)),
        ("minmax", (SKEWED - SKEWED.min()) / np.ptp(SKEWED)),
        ("log", (np.log1p(SKEWED) - np.log1p(SKEWED).mean()) / np.log1p(SKEWED).std()),
    ],
)
def test_numbers_are_scaled_by_the_formula(transform, want):
    got = applied(fitted(transform, SKEWED), *SKEWED)
    assert got.shape == (5000, 1)
    np.testing.assert_allclose(got[:, 0], want, atol=3e-6)


def test_a_quantile_is_the_rank_among_training_rows():
    program = fitted("quantile", SKEWED)
    ranks = (np.argsort(np.argsort(SKEWED)) + 0.5) / 5000
    np.testing.assert_allclose(applied(program, *SKEWED)[:, 0], ranks, atol=1 / 255)
    few = applied(fitted("quantile", [1, 1, 1, 3]), 0, 1, 2, 3, 9)[:, 0]
    np.testing.assert_allclose(few, [3 / 8, 3 / 8, (3 / 8 + 7 / 8) / 2, 7 / 8, 7 / 8])


def test_an_outlier_moves_no_further_than_ten_deviations_and_infinity_neither():
    program = fitted("standard", np.arange(100))
    assert applied(program, 1e9, np.inf, -np.inf)[:, 0].tolist() == [10, 10, -10]


@pytest.mark.parametrize("transform", ["standard", "robust", "minmax", "log", "quantile"])
@pytest.mark.parametrize("values", [[7.0] * 5, [np.nan] * 5, [], [np.inf, np.nan]])
def test_what_never_varies_and_what_is_never_there_stays_finite(transform, values):
    assert np.isfinite(applied(fitted(transform, values), 7, 8, np.nan, np.inf, -3)).all()


def test_midnight_is_near_eleven_at_night_and_seasons_and_weekdays_have_their_periods():
    hours = applied(fitted("cyclic", [3, 4], name="context_hour"), *range(24))
    np.testing.assert_allclose(hours, np.stack([np.sin(np.arange(24) * np.pi / 12), np.cos(np.arange(24) * np.pi / 12)], 1), atol=1e-6)
    assert fitted("cyclic", [1], name="context_hour").columns == ("context_hour.sin", "context_hour.cos")
    np.testing.assert_allclose(applied(fitted("cyclic", [3], name="context_weekday"), 7)[0], [0, 1], atol=1e-6)
    np.testing.assert_allclose(applied(fitted("cyclic", [3], name="context_season"), 183)[0], [0, -1], atol=1e-6)
    np.testing.assert_allclose(applied(fitted("cyclic", [0, 3, 2]), 1)[0], [1, 0], atol=1e-6)


LABELS = tuple(f"c{i:02}" for i in range(40))


def test_ordinal_numbers_categories_by_commonness():
    program = fitted("ordinal", [2, 2, 2, 0, 5, 5], dtype="category", labels=LABELS)
    assert applied(program, 2, 5, 0, 7, 99, np.nan)[:, 0].tolist() == [1, 2, 3, 4, 4, 0]
    assert program.unseen == {"x": 2}
    assert program.missing == {"x": 1}


def test_one_hot_has_the_commonest_and_one_column_for_the_rest():
    codes = [c for c in range(35) for _ in range(40 - c)]
    program = fitted("onehot", codes, dtype="category", labels=LABELS)
    assert program.columns == (*(f"x={label}" for label in LABELS[:32]), "x=*")
    got = applied(program, 31, 32, 39, 40, np.nan)
    assert got.argmax(axis=1).tolist() == [31, 32, 32, 32, 0]
    assert got.sum(axis=1).tolist() == [1, 1, 1, 1, 0]
    assert program.unseen == {"x": 2}


def test_hashing_reads_the_label_and_not_its_code():
    program = fitted("hashing", [0, 1], dtype="category", labels=("ape", "bee"))
    want = np.zeros(16)
    byte, sign = blake2b(b"bee", digest_size=2).digest()
    want[byte % 16] = 1 if sign & 1 else -1
    assert applied(program, 1)[0].tolist() == want.tolist()
    assert applied(fitted("hashing", [0], dtype="category", labels=("bee", "cat")), 0)[0].tolist() == want.tolist()
    assert not applied(program, 2, np.nan).any()
    assert program.columns[3] == "x~03"


def test_a_target_encoding_is_smoothed_and_out_of_fold():
    codes, outcomes, folds = [0, 0, 0, 1, 1, 2], [1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0]
    program = fitted("target", codes, dtype="category", labels=LABELS[:4], outcomes=outcomes, folds=folds)
    got = applied(program, 0, 1, 2, 3, 99, np.nan)[:, 0]
    np.testing.assert_allclose(got, [12 / 23, 10 / 22, 11 / 21, 0.5, 0.5, 0.5], rtol=1e-6)
    trained = program.apply_training(np.array([codes], np.float32), np.array(folds, np.int32))[:, 0]
    np.testing.assert_allclose(trained, [11 / 21, 11 / 22, 11 / 21, 10 / 20, 10 / 20, 10 / 20], rtol=1e-6)


def auc(outcomes, scores):
    order = np.unique(scores, return_inverse=True)[1]
    counts = np.bincount(order)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]
    n = outcomes.sum()
    return (ranks[outcomes == 1].sum() - n * (n + 1) / 2) / (n * (len(outcomes) - n))


def test_a_target_encoding_does_not_tell_a_random_category_its_own_outcome():
    rng = np.random.default_rng(11)
    codes = rng.integers(0, 3000, 6000)
    outcomes = (rng.random(6000) < 0.3).astype(np.float32)
    folds = rng.integers(0, 5, 6000)
    program = fitted("target", codes, dtype="category", labels=tuple(map(str, range(3000))), outcomes=outcomes, folds=folds)
    values = codes.astype(np.float32)[np.newaxis]
    assert auc(outcomes, program.apply(values)[:, 0]) > 0.75  # what would be learned from, were the folds not kept apart
    assert abs(auc(outcomes, program.apply_training(values, folds.astype(np.int32))[:, 0]) - 0.5) < 0.03


def test_embedded_categories_lie_close_where_users_take_them_together():
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(400, dtype=np.int32), 10)
    groups = np.repeat(rng.integers(0, 2, 400), 10)
    codes = (groups * 6 + rng.integers(0, 6, 4000)).astype(np.int32)
    codes[::17] = -1
    together = cooccurrences(users, codes, 13)
    program = fitted("embedding", np.where(codes < 0, np.nan, codes), dtype="category", labels=LABELS[:13], together={"x": together})
    got = applied(program, *range(13), np.nan)
    assert got.shape == (14, 32)
    length = np.linalg.norm(got, axis=1)
    assert length[12:].tolist() == [0, 0]
    likeness = (got[:12] / length[:12, None]) @ (got[:12] / length[:12, None]).T
    assert likeness[:6, :6].min() > likeness[:6, 6:].max()


def test_cooccurrences_stay_within_a_user_and_the_span():
    users, codes = np.array([0, 0, 0, 1, 1], np.int32), np.array([0, 1, 0, 2, -1], np.int32)
    found = cooccurrences(users, codes, 9, span=1)
    assert found.codes.tolist() == [0, 1, 2]
    assert found.counts.tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]]
    assert cooccurrences(users, codes, 9, span=2).counts.tolist() == [[2, 2, 0], [2, 0, 0], [0, 0, 0]]
    assert cooccurrences(users[:0], codes[:0], 9).counts.shape == (0, 0)


def test_vectors_give_the_information_back():
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 30, (12, 12)).astype(float)
    counts += counts.T
    mass = counts.sum(axis=1)
    with np.errstate(divide="ignore"):
        wanted = np.maximum(np.log(counts * mass.sum() / np.outer(mass, mass)), 0)
    got = vectors(counts, 12)
    values, whole = np.linalg.eigh(wanted)
    np.testing.assert_allclose(got @ got.T * np.abs((whole * np.abs(values)) @ whole.T).diagonal().max(), (whole * np.abs(values)) @ whole.T, atol=1e-6)
    np.testing.assert_array_equal(vectors(counts, 12), got)
    assert not vectors(counts, 20)[:, 12:].any()


def test_a_default_stands_for_what_is_missing_and_is_transformed():
    program = fitted("minmax", [0, 10, np.nan], default=20.0)  # it is fitted with the default in place, too
    assert applied(program, np.nan, 10)[:, 0].tolist() == [1, 0.5]
    assert np.isnan(applied(fitted("none", [1]), np.nan)).all()
    assert applied(fitted("none", [1], default=4.0), np.nan).tolist() == [[4]]
    assert applied(fitted("standard", [1, 2, 3]), np.nan).tolist() == [[0]]


def test_whole_numbers_may_be_categories():
    program = fitted("onehot", [0, 1, 1, 6], name="weekday")
    assert program.columns == ("weekday=1", "weekday=0", "weekday=6", "weekday=*")
    assert applied(program, 3, 6).tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("transform", "more", "says"),
    [
        ("standard", {"dtype": "category", "labels": LABELS}, "expected a number, got a category"),
        ("onehot", {"values": [0.5]}, "expected a category, or whole numbers"),
        ("hashing", {"values": [10_000]}, "whole numbers from 0 to 9,999"),
        ("ordinal", {"dtype": "category"}, "expected labels of 'x', got none"),
        ("target", {"dtype": "category", "labels": LABELS}, "expected outcomes"),
        ("embedding", {"dtype": "category", "labels": LABELS}, "categories of items"),
        ("cyclic", {"values": [-3]}, "numbers from 0 on"),
    ],
)
def test_a_transform_that_does_not_fit_names_the_definition(transform, more, says):
    with pytest.raises(ConfigInvalid, match=f"recengine.toml:41: feature 'x', transform '{transform}': .*{says}"):
        fitted(transform, more.pop("values", [1.0]), where="recengine.toml:41", **more)


KINDS = ("none", "standard", "robust", "minmax", "log", "quantile", "cyclic", "ordinal", "onehot", "hashing", "target", "embedding")


def everything(seed=0, m=3000):
    rng = np.random.default_rng(seed)
    features = tuple(feature(f"f_{kind}", kind, "number" if i < 7 else "category", domain="d") for i, kind in enumerate(KINDS))
    values = np.where(np.arange(12)[:, None] < 7, rng.exponential(9, (12, m)), rng.integers(0, 38, (12, m))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    codes = rng.integers(0, 38, m).astype(np.int32)
    together = {"d": cooccurrences(np.arange(m, dtype=np.int32) // 9, codes, 40)}
    folds = rng.integers(0, 5, m).astype(np.int32)
    return fit_transforms(features, values, {"d": LABELS}, (rng.random(m) < 0.2).astype(np.float32), folds, together), values, folds


def test_all_kinds_together_answer_bit_equal_after_saving_and_for_any_batch(tmp_path):
    program, values, folds = everything()
    assert program.width == 7 + 1 + 1 + 33 + 16 + 1 + 32 == len(program.columns)
    program.save(tmp_path)
    again = Program.load(tmp_path)
    assert (again.features, again.columns) == (program.features, program.columns)
    whole = program.apply(values)
    assert again.apply(values).tobytes() == whole.tobytes()
    assert again.apply_training(values, folds).tobytes() == program.apply_training(values, folds).tobytes() != whole.tobytes()
    for begin, end in [(0, 1), (7, 8), (1, 66), (100, 2999)]:
        assert again.apply(values[:, begin:end]).tobytes() == whole[begin:end].tobytes()
    constant = np.array([1, 0] * 6, np.uint8)
    shared = values[:, :500].copy()
    shared[::2] = values[::2, :1]
    assert again.apply(shared, constant).tobytes() == program.apply(shared).tobytes()


def test_fitting_again_gives_the_same_bits():
    (one, values, _), (other, _, _) = everything(), everything()
    assert one.apply(values).tobytes() == other.apply(values).tobytes()


def test_folds_change_the_target_encodings_alone():
    program, values, folds = everything()
    column = program.columns.index("f_target")
    whole, trained = program.apply(values), program.apply_training(values, folds)
    assert np.delete(trained, column, axis=1).tobytes() == np.delete(whole, column, axis=1).tobytes()
    assert (trained[:, column] != whole[:, column]).mean() > 0.8
    rng = np.random.default_rng(9)
    outcomes = (rng.random(values.shape[1]) < 0.2).astype(np.float32)
    two = tuple(feature(name, "target", "category", domain="d") for name in ("one", "other"))
    both = fit_transforms(two, values[[10, 8]], {"d": LABELS}, outcomes, folds).apply_training(values[[10, 8]], folds)
    for f, row in enumerate((10, 8)):
        alone = fit_transforms(two[f : f + 1], values[row : row + 1], {"d": LABELS}, outcomes, folds)
        assert both[:, f].tobytes() == alone.apply_training(values[row : row + 1], folds)[:, 0].tobytes()


def test_folds_that_were_not_fitted_are_refused():
    program, values, folds = everything()
    with pytest.raises(NotFitted, match="expected 0 to 4, as fitted, got 0 to 5"):
        program.apply_training(values, np.where(folds == 4, 5, folds))
    with pytest.raises(ShapeError, match="^folds"):
        program.apply_training(values[:, :9], folds)


def test_values_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="values"):
        fit_transforms((feature("x", "none"),), np.zeros((2, 3), np.float32), {}, None, np.zeros(3, np.int32))
    with pytest.raises(ShapeError, match="outcomes"):
        fit_transforms((feature("x", "none"),), np.zeros((1, 3), np.float32), {}, np.zeros(2, np.float32), np.zeros(3, np.int32))
    with pytest.raises(ShapeError, match="folds"):
        fit_transforms((feature("x", "none"),), np.zeros((1, 3), np.float32), {}, None, np.array([0, -1, 0], np.int32))


@pytest.mark.parametrize("spoil", ["columns", "step", "missing", "json", "folds"])
def test_a_damaged_folder_is_a_bad_artifact(spoil, tmp_path):
    program, _, _ = everything(m=300)
    program.save(tmp_path)
    said = msgspec.json.decode((tmp_path / "transforms.json").read_bytes())
    if spoil == "columns":
        said["columns"].pop()
        (tmp_path / "transforms.json").write_bytes(msgspec.json.encode(said))
    elif spoil == "step":
        steps = np.load(tmp_path / "transform_steps.npy")
        steps[8, 4] = 10**6
        np.save(tmp_path / "transform_steps.npy", steps)
    elif spoil == "missing":
        (tmp_path / "transform_tables.npy").unlink()
    elif spoil == "json":
        (tmp_path / "transforms.json").write_bytes(b'{"features": [1')
    else:
        np.save(tmp_path / "transform_folds.npy", np.zeros((5, 10**7), np.float32))
    with pytest.raises(BadArtifact):
        Program.load(tmp_path)


def test_a_program_without_features_gives_rows_without_columns():
    program = fit_transforms((), np.zeros((0, 5), np.float32), {}, None, np.zeros(5, np.int32))
    assert program.apply(np.zeros((0, 7), np.float32)).shape == (7, 0)
