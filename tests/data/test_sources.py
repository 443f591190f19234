"""DATA as the user writes it finds its reader, its path and its options."""

import pytest

from danil.data import DataError, assign_splits, read_source, read_split, write_split
from danil.data.fake import WRITERS, write_fake
from danil.data.sources import Source, parsed_source, relocated


@pytest.fixture(scope="module", params=WRITERS)
def written(request, tmp_path_factory):
    return request.param, write_fake(request.param, tmp_path_factory.mktemp(request.param))


def test_every_reader_reads_its_layout_and_a_bare_path_is_recognised(written):
    reader, path = written
    named, bare = read_source(f"{reader}:{path}"), read_source(str(path))
    assert named.source == bare.source == f"{reader}:{path}"
    assert named.digest() == bare.digest() == read_source(named.source).digest()


def test_every_manifest_keeps_the_contract(written):
    manifest = read_source(str(written[1]))
    assert len(manifest) == 24
    assert list(manifest.table.index) == list(range(24))
    assert list(manifest.table.columns)[: 3 + len(manifest.tasks)] == ["path", *manifest.tasks, "group", "split"]
    assert manifest.table["path"].is_unique
    for task, names in manifest.tasks.items():
        labels = manifest.labels(task)
        assert set(labels) == set(range(len(names))), "the made-up data hold every class"
        assert [names[label] for label in labels] == manifest.table[task].tolist()
    assert (manifest.table["group"] == manifest.table["path"]).all() != manifest.grouped
    for path in manifest.table["path"][:2]:
        assert manifest.store.read(path).mode == "RGB"
        assert manifest.store.size(path) > 0
        assert "\\" not in path
    assert manifest.store.size("gone.png") == -1


def test_every_writer_repeats_itself_and_varies_with_the_seed(written, tmp_path):
    reader, path = written
    again = read_source(str(write_fake(reader, tmp_path / "again")))
    other = read_source(str(write_fake(reader, tmp_path / "other", seed=1)))
    first = read_source(str(path))
    same = [first.store.read(p).tobytes() == again.store.read(p).tobytes() for p in first.table["path"]]
    assert all(same)
    assert first.store.read(first.table["path"][0]).tobytes() != other.store.read(other.table["path"][0]).tobytes()


def test_options_are_taken_apart_and_put_together_again():
    source = parsed_source("csv:my file.csv?image=the%26file&label=dx,dme&group=patient+id")
    assert source == Source("csv", "my file.csv", {"image": "the&file", "label": "dx,dme", "group": "patient+id"})
    assert parsed_source(str(source)) == source


def test_a_path_with_a_question_mark_or_a_colon_is_a_path_where_it_exists(tmp_path):
    for name in ("what?x=1", "a:b"):
        path = write_fake("folder", tmp_path / name)
        assert len(read_source(str(path))) == 24
    assert len(read_source(f"folder:{tmp_path / 'a:b'}")) == 24


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("ham1000:data", ["ham1000", "Did you mean `ham10000`", "aptos2019", "synthetic"]),
        ("folder:", ["has no path"]),
        ("nowhere/at/all", ["nowhere/at/all", "does not exist", "READER:PATH"]),
        ("folder:nowhere", ["nowhere", "does not exist"]),
        ("folder:x?grop=1", ["grop", "Did you mean `group`"]),
        ("aptos2019:x?group=1", ["no option", "links"]),
        ("csv:x.csv?image", ["image", "name=value"]),
    ],
)
def test_a_wrong_source_is_refused_in_words(text, words):
    with pytest.raises(DataError) as caught:
        read_source(text)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt.*no known kind"):
        read_source(str(tmp_path / "notes.txt"))


def test_synthetic_sets_are_a_source_too():
    assert len(read_source("synthetic:dermoscopy?images=8&size=32")) == 8


def test_several_tasks_are_read_where_the_source_names_none(tmp_path):
    ham = write_fake("ham10000", tmp_path / "ham")
    several = read_source(f"ham10000:{ham}", several=True)
    assert list(several.tasks) == ["dx", "localization"]
    assert several.source == f"ham10000:{ham}?tasks=dx,localization"
    assert list(read_source(f"ham10000:{ham}?tasks=dx", several=True).tasks) == ["dx"]
    aptos = write_fake("aptos2019", tmp_path / "aptos")
    assert list(read_source(str(aptos), several=True).tasks) == ["diagnosis"]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("ham10000:new", "ham10000:new?tasks=dx,localization&missing=skip"),
        ("ham10000:new?missing=keep", "ham10000:new?tasks=dx,localization&missing=keep"),
        ("folder:new", "folder:new"),
        ("synthetic:fundus", "synthetic:fundus"),
    ],
)
def test_data_that_have_moved_keep_the_options_of_their_source(place, found):
    assert relocated("ham10000:old?tasks=dx,localization&missing=skip", place) == found


def test_a_split_of_the_main_task_divides_the_same_images_with_more_tasks(tmp_path):
    ham = write_fake("ham10000", tmp_path / "ham")
    divided = assign_splits(read_source(f"ham10000:{ham}"), "random", test=0.3, validation=0.0, seed=0)
    write_split(tmp_path / "split.csv", divided)
    both = read_split(tmp_path / "split.csv", read_source(f"ham10000:{ham}", several=True))
    assert list(both.tasks) == ["dx", "localization"]
    assert both.table["split"].tolist() == divided.table["split"].tolist()
