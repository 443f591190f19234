"""Splits keep class shares, groups and promises."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from danil.data import DataError, assign_splits, folds, limit, read_source, read_split, split_summary, write_split
from danil.data.division import stratified_quotas
from danil.data.files import FileImages
from danil.data.manifest import assembled


def cohort(labels, groups=None, parts=None):
    """Return a manifest of these labels without images."""
    table = pd.DataFrame({"path": [f"{number:05d}.png" for number in range(len(labels))], "label": list(labels)})
    if groups is not None:
        table["group"] = list(groups)
    if parts is not None:
        table["split"] = list(parts)
    classes = sorted(table["label"].dropna().unique())
    return assembled(table, {"label": classes}, store=FileImages(Path("nowhere")), source="test:cohort")


UNEVEN = cohort("a" * 700 + "b" * 231 + "c" * 62 + "d" * 7)
LESIONS = [number // 3 for number in range(900)]
GROUPED = cohort(["abcd"[min(3, lesion % 10 // 3)] for lesion in LESIONS], [f"l{lesion}" for lesion in LESIONS])


def table_of(manifest):
    return pd.crosstab(manifest.table["label"], manifest.table["split"])


def test_a_random_split_is_exact_to_rounding_for_every_class():
    counts = table_of(assign_splits(UNEVEN, "random", test=0.3, validation=0.1))
    assert counts.sum().to_dict() == {"test": 300, "train": 600, "validation": 100}
    for label, count in {"a": 700, "b": 231, "c": 62, "d": 7}.items():
        assert abs(counts.loc[label, "test"] - 0.3 * count) < 1
        assert abs(counts.loc[label, "validation"] - 0.1 * count) < 1


def test_a_split_repeats_itself_whatever_the_order_of_rows_and_varies_with_the_seed():
    shuffled = UNEVEN.take(np.random.default_rng(0).permutation(len(UNEVEN)))
    for kind, manifest in (("random", shuffled), ("grouped", GROUPED.take(range(899, -1, -1)))):
        whole = UNEVEN if kind == "random" else GROUPED
        first = assign_splits(whole, kind).table.set_index("path")["split"]
        second = assign_splits(manifest, kind).table.set_index("path")["split"]
        pd.testing.assert_series_equal(first, second.loc[first.index])
        assert (first != assign_splits(whole, kind, seed=1).table.set_index("path")["split"]).any()


def test_a_grouped_split_divides_no_group_and_keeps_class_shares_within_a_group():
    divided = assign_splits(GROUPED, "grouped", test=0.3, validation=0.1)
    summary = split_summary(divided)
    assert summary.divided_groups == 0
    counts = table_of(divided)
    for label, total in GROUPED.table["label"].value_counts().items():
        assert abs(counts.loc[label, "test"] - 0.3 * total) <= 3
        assert abs(counts.loc[label, "validation"] - 0.1 * total) <= 3


def test_every_part_gets_every_class_where_enough_groups_have_it():
    labels = "a" * 90 + "b" * 3
    divided = assign_splits(cohort(labels, groups=range(93)), "grouped", test=0.2, validation=0.1)
    assert (table_of(divided) > 0).all(axis=None)
    divided = assign_splits(cohort(labels), "random", test=0.2, validation=0.1)
    assert (table_of(divided) > 0).all(axis=None)


def test_a_part_that_lacks_a_class_is_a_warning():
    with pytest.warns(UserWarning, match=r"part has no image of 1 class \(`b`\)"):
        assign_splits(cohort("a" * 50 + "b" * 2), "random", test=0.2, validation=0.1)


def test_auto_takes_official_parts_then_groups_then_chance():
    parts = ["train"] * 6 + ["test"] * 4
    official = assign_splits(cohort("ab" * 5, groups=list("uuvvwwxxyy"), parts=parts))
    assert official.table["split"].tolist() == parts
    assert split_summary(assign_splits(GROUPED)).divided_groups == 0
    assert assign_splits(UNEVEN).table["split"].equals(assign_splits(UNEVEN, "random").table["split"])


def test_auto_leaves_parts_without_a_test_part_aside_and_says_so():
    with pytest.warns(UserWarning, match="lack train or test"):
        divided = assign_splits(cohort("ab" * 5, parts=["train"] * 10))
    assert (divided.table["split"] == "test").sum() == 3


def test_validation_is_taken_out_of_the_official_train_part_by_group():
    groups = [f"p{number // 4}" for number in range(80)]
    manifest = cohort("aabb" * 20, groups, ["train"] * 60 + ["test"] * 20)
    divided = assign_splits(manifest, "official", validation=0.15)
    assert divided.table["split"].value_counts().to_dict() == {"train": 48, "test": 20, "validation": 12}
    assert split_summary(divided).divided_groups == 0
    assert (divided.table["split"][60:] == "test").all()
    assert assign_splits(manifest, "column", validation=0.15).table["split"].equals(manifest.table["split"])


def test_an_official_validation_part_is_kept():
    parts = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    assert assign_splits(cohort("ab" * 5, parts=parts), validation=0.5, test=0).table["split"].tolist() == parts


@pytest.mark.parametrize(
    ("manifest", "kind", "words"),
    [
        (UNEVEN, "grouped", "no groups"),
        (UNEVEN, "official", "no train part"),
        (cohort("ab" * 3, parts=["train"] * 4 + ["test", None]), "column", r"1 image \(`00005.png`\) in no part"),
        (cohort("aaaa"), "random", "only the class `a`"),
        (cohort("aaab"), "random", r"one image only of 1 class \(`b`\)"),
        (cohort([None, None]), "random", "no labels"),
        (UNEVEN, "magic", "`kind` is `magic`"),
    ],
)
def test_a_split_that_cannot_be_is_refused(manifest, kind, words):
    with pytest.raises(DataError, match=words):
        assign_splits(manifest, kind)


@pytest.mark.parametrize(("test", "validation"), [(1.0, 0), (-0.1, 0), (0.5, 0.5), (0.3, 1.2)])
def test_shares_that_leave_nothing_are_refused(test, validation):
    with pytest.raises(DataError, match=r"`test`|`validation`"):
        assign_splits(UNEVEN, "random", test=test, validation=validation)


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    test=st.floats(0.05, 0.6),
    validation=st.floats(0, 0.3),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_any_random_split_is_a_partition_near_its_shares(counts, test, validation, seed):
    manifest = cohort("".join(chr(97 + k) * n for k, n in enumerate(counts)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        divided = assign_splits(manifest, "random", test=test, validation=validation, seed=seed)
    assert divided.table["split"].notna().all()
    table = table_of(divided)
    assert (table["train"] > 0).all()
    assert (table["test"] > 0).all()
    assert abs(table["test"].sum() - test * len(manifest)) <= len(counts), "tiny classes give one each"


def test_quotas_round_the_largest_remainders_up():
    # 10·0.25 = 2.5, 7·0.25 = 1.75, 3·0.25 = 0.75, together 5: floors 2, 1, 0 and one more for the last two.
    assert stratified_quotas(np.array([10, 7, 3]), 0.25).tolist() == [2, 2, 1]


def test_folds_test_every_image_once_and_keep_groups_whole():
    parts = folds(GROUPED, 4)
    tested = np.stack([(fold.table["split"] == "test").to_numpy() for fold in parts])
    assert (tested.sum(0) == 1).all()
    assert all(split_summary(fold).divided_groups == 0 for fold in parts)
    assert all(abs(count - 225) <= 9 for count in tested.sum(1))
    for k in (1, 301):
        with pytest.raises(DataError, match=f"`k` is {k}"):
            folds(GROUPED, k)


@pytest.mark.parametrize(("classes", "each", "k"), [(14, 6, 5), (12, 5, 10), (3, 7, 4)])
@pytest.mark.parametrize("groups", [None, "one of each image"])
@pytest.mark.filterwarnings("ignore:.*part has no image of")
def test_leftovers_of_the_classes_rotate_over_the_folds(classes, each, k, groups):
    labels = [f"c{number:02d}" for number in range(classes) for _ in range(each)]
    parts = folds(cohort(labels, None if groups is None else [f"g{row}" for row in range(len(labels))]), k)
    counts = np.stack([table_of(part)["test"].to_numpy() for part in parts])
    oracle = StratifiedKFold(min(k, each), shuffle=True, random_state=0).split(labels, labels)
    widest = np.ptp([len(test) for _, test in oracle]) if k <= each else 1
    assert np.ptp(counts.sum(1)) <= (widest if groups is None else 2)
    assert np.ptp(counts, axis=0).max() <= 1


def test_groups_of_two_fill_three_folds_alike():
    labels = ["abcde"[group % 5] for group in range(30) for _ in range(2)]
    parts = folds(cohort(labels, [f"g{row // 2}" for row in range(60)]), 3)
    assert [int((part.table["split"] == "test").sum()) for part in parts] == [20, 20, 20]


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=12, max_size=60),
    k=st.integers(2, 12),
    kind=st.sampled_from(["grouped", "random"]),
    seed=st.integers(0, 5),
)
def test_no_fold_is_empty_and_each_image_is_tested_once(rows, k, kind, seed):
    labels = np.array([label for label, _ in rows])
    owners = [f"g{group}" for _, group in rows]
    known, counts = np.unique(labels, return_counts=True)
    assume(len(known) > 1 and counts.min() > 1 and k <= len(set(owners)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tested = np.stack([part.table["split"] == "test" for part in folds(cohort(labels, owners), k, seed, 0.0, kind)])
    assert (tested.sum(0) == 1).all()
    assert tested.sum(1).min() >= 1
    if kind == "random":
        assert np.ptp(tested.sum(1)) <= 1


def test_folds_have_equal_class_shares_and_a_validation_part():
    for place, fold in enumerate(folds(GROUPED, 4, validation=0.15)):
        summary = split_summary(fold)
        assert (summary.divided_groups, summary.misses({"test": 0.25, "validation": 0.15})) == (0, []), place
        assert summary.counts.sum().sum() == 900


def test_random_folds_keep_the_groups_in_the_manifest_but_not_together():
    parts = folds(GROUPED, 3, kind="random")
    assert all(fold.table["group"].equals(GROUPED.table["group"]) for fold in parts)
    assert split_summary(parts[0]).divided_groups > 100
    assert np.stack([(fold.table["split"] == "test").to_numpy() for fold in parts]).sum() == 900


def test_folds_repeat_themselves_whatever_the_order_of_rows():
    first = [fold.table.set_index("path")["split"] for fold in folds(GROUPED, 3, seed=4, validation=0.1)]
    turned = folds(GROUPED.take(range(899, -1, -1)), 3, seed=4, validation=0.1)
    for one, other in zip(first, turned, strict=True):
        pd.testing.assert_series_equal(one, other.table.set_index("path")["split"].loc[one.index])


@pytest.mark.parametrize(
    ("manifest", "options", "words"),
    [
        (UNEVEN, {"kind": "grouped"}, "no groups"),
        (GROUPED, {"kind": "official"}, "cannot be `official`"),
        (GROUPED, {"validation": 0.8}, "leave no images to train on"),
        (cohort("ab" * 4, groups=list("uuuuvvvv")), {}, "number of groups, 2"),
    ],
)
def test_folds_that_cannot_be_are_refused(manifest, options, words):
    with pytest.raises(DataError, match=words):
        folds(manifest, 3, **options)


def test_a_part_that_no_group_is_left_for_is_a_miss():
    with pytest.warns(UserWarning, match="the test part is empty: 2 groups cannot fill all parts"):
        divided = assign_splits(cohort("ab" * 10, groups=["u"] * 18 + ["v"] * 2), "grouped", test=0.1, validation=0.3)
    found = split_summary(divided).misses({"test": 0.1, "validation": 0.3})
    assert "test has 0.0% of the images, 10.0% were wanted (tolerance 2 points). Groups are kept whole" in found[0]


def test_groups_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(DataError, match="the train part is empty: 2 groups cannot fill all parts"):
        assign_splits(cohort("aabb" * 5, groups=["u", "u", "v", "v"] * 5), "grouped", test=0.9)


def test_filling_a_gap_opens_no_other():
    counts = [[0, 2, 1, 0], [2, 2, 1, 0], [3, 0, 2, 3], [2, 0, 3, 0], [1, 0, 0, 2], [1, 0, 0, 0], [0, 1, 0, 3]]
    rows = [(f"p{g}", "abcd"[k]) for g, row in enumerate(counts) for k, number in enumerate(row) for _ in range(number)]
    patients = cohort([label for _, label in rows], groups=[group for group, _ in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = assign_splits(patients, "grouped", test=0.2, validation=0.15).table
    assert set(table["label"][table["split"] == "train"]) == set("abcd")


def test_why_a_share_is_missed_is_groups_kept_whole_only_where_they_are():
    divided = assign_splits(cohort("aabb" * 4, groups=list("uvwx") * 4), "random", test=0.3)
    assert not any("kept whole" in text for text in split_summary(divided).misses({"test": 0.5}))


def test_no_more_than_a_few_classes_of_a_part_are_named():
    letters = "abcdefghij"
    summary = split_summary(cohort(letters * 2, parts=["train"] * 5 + ["test"] * 15))
    (train, test) = summary.misses(None)
    assert train.count(" of all)") == 8
    assert "`h` is 0.0% (10.0% of all), 2 more (tolerance" in train
    assert test.startswith("in test ")


def test_misses_name_the_share_the_part_and_the_reason():
    # Train: a 3/4, b 1/4; test: b 2/2; all: a 3/6. Test holds 2/6 of the images.
    summary = split_summary(cohort("aaabbb", groups=list("uuuvww"), parts=["train"] * 4 + ["test"] * 2))
    found = summary.misses({"test": 0.2}, tolerance=0.02)
    assert found[0].startswith("test has 33.3% of the images, 20.0% were wanted (tolerance 2 points).")
    assert "in train `a` is 75.0% (50.0% of all), `b` is 25.0% (50.0% of all) (tolerance 2 points)." in found[1]
    assert len(found) == 3  # one of the size, one of each part's classes
    assert all("the largest has 3 images" in text for text in found)
    assert summary.misses({"test": 0.2}, tolerance=0.6) == []
    assert "b    1 (25.0%)  2 (100.0%)   3 (50.0%)" in str(summary)


def test_a_limit_draws_each_part_with_its_class_shares():
    divided = assign_splits(UNEVEN, "random", test=0.3)
    small = limit(divided, 100)
    assert small.table["split"].value_counts().to_dict() == {"train": 100, "test": 100}
    counts = table_of(small)
    assert counts["train"].to_dict() == {"a": 70, "b": 23, "c": 6, "d": 1}
    assert small.table["path"].is_monotonic_increasing
    assert set(limit(divided, 100, seed=1).table["path"]) != set(small.table["path"])
    assert len(limit(divided, 10_000)) == len(divided)
    assert len(limit(UNEVEN, 50)) == 50
    with pytest.raises(DataError, match="`limit` is 3"):
        limit(divided, 3)


def test_a_written_split_reads_back_and_prints_its_shares(tmp_path):
    divided = assign_splits(GROUPED, "grouped", validation=0.1)
    digest = write_split(tmp_path / "split.csv", divided)
    assert digest == divided.digest()
    assert read_split(tmp_path / "split.csv", GROUPED).table.equals(divided.table)
    text = str(split_summary(divided))
    assert "train" in text
    assert "900" not in text.splitlines()[0]
    assert "groups in more than one part: 0" in text
    assert "; groups: not known" in str(split_summary(assign_splits(UNEVEN, "random", test=0.3)))


def test_an_undivided_row_stays_undivided(tmp_path):
    manifest = cohort("ab" * 3, parts=["train"] * 5 + [None])
    write_split(tmp_path / "split.csv", manifest)
    assert read_split(tmp_path / "split.csv", manifest).digest() == manifest.digest()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("00003.png,train\n", ""), r"lacks 1 image \(`00003.png`\)"),
        (lambda text: text + "new.png,test\n", r"has 1 image \(`new.png`\) that the data do not"),
        (lambda text: text + "00003.png,train\n", r"has 1 image \(`00003.png`\) twice"),
        (lambda text: text.replace("00003.png,train", "00003.png,tset"), "`tset`"),
        (lambda text: text.replace("00003.png,train", "00003.png,test"), "other contents"),
        (lambda text: text.partition("\n")[2], "not written by"),
        (lambda text: text.replace("path,split", "file,part"), "not written by"),
        (lambda text: text.partition("\n")[0], "no well-formed CSV"),
        (lambda text: "\0\0", r"split\.csv"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(tmp_path, change, words):
    manifest = cohort("ab" * 5, parts=["train"] * 5 + ["test"] * 5)
    file = tmp_path / "split.csv"
    write_split(file, manifest)
    file.write_text(change(file.read_text()))
    with pytest.raises(DataError, match=words):
        read_split(file, manifest)


def test_a_split_of_relabelled_data_is_refused(tmp_path):
    manifest = cohort("ab" * 5, parts=["train"] * 5 + ["test"] * 5)
    write_split(tmp_path / "split.csv", manifest)
    relabelled = replace(manifest, table=manifest.table.assign(label=list("ba" * 5)))
    with pytest.raises(DataError, match="other contents"):
        read_split(tmp_path / "split.csv", relabelled)
    with pytest.raises(DataError, match="could not be read"):
        read_split(tmp_path / "gone.csv", manifest)


def test_the_summary_measures_deviation_and_divided_groups():
    # Shares of a: train 2/4, test 1/2, all 3/6: no deviation; then move one: train 3/4 and test 0/2 against 1/2.
    even = split_summary(cohort("aabbab", groups=list("uuvvuv"), parts=["train"] * 4 + ["test"] * 2))
    assert even.deviation == pytest.approx(0)
    assert even.divided_groups == 2
    uneven = split_summary(cohort("aaabbb", parts=["train"] * 4 + ["test"] * 2))
    assert uneven.deviation == pytest.approx(0.5)


def test_real_lesions_stay_together_in_a_grouped_split_and_not_in_a_random_one(shared):
    manifest = read_source(f"ham10000:{shared / 'data' / 'ham10000'}?metadata=HAM10000_metadata_full.csv&missing=keep")
    grouped = split_summary(assign_splits(manifest, "grouped", test=0.3))
    assert (grouped.divided_groups, grouped.deviation < 0.002) == (0, True)
    random = assign_splits(manifest, "random", test=0.3)
    train = set(random.part("train").table["group"])
    test = random.part("test").table["group"]
    assert 0.32 < test.isin(train).mean() < 0.38, "34-36 % of the test images have a sibling in training"


def test_a_name_with_a_carriage_return_comes_back(tmp_path):
    labels = cohort("aabb" * 3)
    odd = replace(labels, table=labels.table.assign(path=[f"a\r{row}.png" for row in range(12)]))
    divided = assign_splits(odd, "random", test=0.3)
    write_split(tmp_path / "s.csv", divided)
    assert read_split(tmp_path / "s.csv", odd).table["split"].tolist() == divided.table["split"].tolist()
