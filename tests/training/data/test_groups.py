"""Groups of videos as names tell them or the user names them, and what is drawn by whole groups."""

from collections import Counter
from pathlib import Path

import pytest

from tests.processes import DATA
from tests.training.data.test_collections import touch
from training.data import collections, splits
from training.data.groups import held_out_paths, named_groups
from training.errors import UserError
from training.options import CollectionOptions

PATHS = ["hug/p1_s1.avi", "kick/p1_s2.avi", "kick/p2_s1.avi"]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"p\d", ["p1", "p1", "p2"]),
        (r"_(s\d)\.", ["s1", "s2", "s1"]),
        (r"^(\w+)/", ["hug", "kick", "kick"]),
    ],
)
def test_groups_by_an_expression(pattern, groups):
    assert named_groups(pattern, PATHS) == dict(zip(PATHS, groups, strict=True))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"hug|p2", r"names no group for 1 of 3 videos, e\.g\. kick/p1_s2\.avi"),
        (r"seq\d+", r"names no group for 3 of 3 videos, e\.g\. hug/p1_s1\.avi"),
        (r"(p1)?_s", r"names no group for 1 of 3 videos, e\.g\. kick/p2_s1\.avi"),
        (r"x*", "names no group for 3 of 3"),
        ("(", r"--groups \( is no regular expression"),
    ],
)
def test_expressions_that_leave_videos_without_a_group(pattern, message):
    with pytest.raises(UserError, match=message):
        named_groups(pattern, PATHS)


def test_groups_from_a_file(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text(
        "\ufeffgroup,path\n" + "".join(f"person {n},{p}\n" for n, p in enumerate(PATHS))
    )
    assert named_groups(str(file), PATHS) == {path: f"person {n}" for n, path in enumerate(PATHS)}
    file.write_text("path,group\n" + "".join(f".\\{p.replace('/', chr(92))},a\n" for p in PATHS))
    assert named_groups(str(file), PATHS) == dict.fromkeys(PATHS, "a")
    with pytest.raises(UserError, match=r"no group for 1 of 4 videos, e\.g\. new/1\.avi"):
        named_groups(str(file), [*PATHS, "new/1.avi"])
    found = named_groups(str(file), PATHS[:2], missing=[PATHS[2], "new/1.avi"])
    assert found == dict.fromkeys(PATHS, "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"groups\.csv cannot be read: .*No such file"),
        ("", "has no column path"),
        ("path,person\na/1.avi,1\n", "has no column group"),
        ("path,group\na/1.avi,1\na/1.avi,2\n", r"names two groups for a/1\.avi"),
        ("path,group\na/1.avi,\n", r"names no group for 1 of 1 videos, e\.g\. a/1\.avi"),
    ],
)
def test_files_that_name_no_groups(tmp_path, text, message):
    file = tmp_path / "groups.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        named_groups(str(file), ["a/1.avi"])


def test_the_collection_has_the_named_groups(tmp_path, monkeypatch):
    touch(tmp_path, *PATHS)
    (tmp_path / "groups.csv").write_text(
        "path,group\n" + "".join(f"{path},{path[-6:-4]}\n" for path in PATHS)
    )
    monkeypatch.chdir(tmp_path)
    options = CollectionOptions(dataset="folder", data_dir=tmp_path, groups="groups.csv")
    monkeypatch.chdir("/")  # an evaluation may be called from another folder
    dataset = collections.load_dataset(options, 1)
    assert {video.path: video.group for video in dataset.videos} == {
        "hug/p1_s1.avi": "s1",
        "kick/p1_s2.avi": "s2",
        "kick/p2_s1.avi": "s1",
    }


def test_no_source_of_several_classes_is_on_both_sides(tmp_path):
    """Films of one to four classes; every class comes near 30 % all the same."""
    names = ("clap", "jump", "run", "wave")
    touch(
        tmp_path,
        *(
            f"{name}/Film{film:02d}_{name}_f_cm_np1_fr_med_{clip}.avi"
            for film in range(40)
            for name in names[: 1 + film % 4]
            for clip in range(1 + film % 3)
        ),
    )
    drawn = set()
    for split in (1, 2, 3):
        listed = collections.read_folder(tmp_path, split=split)
        dataset = splits.draw_test_videos(splits.tied(listed, {}))
        films = {side: {v.path.split("/")[1][:6] for v in dataset.side(side)}
                 for side in ("train", "test")}  # fmt: skip
        assert films["train"] | films["test"] == {f"Film{film:02d}" for film in range(40)}
        assert not films["train"] & films["test"]
        tested, all_videos = (Counter(v.label for v in vs)
                              for vs in (dataset.side("test"), dataset.videos))  # fmt: skip
        shares = [tested[label] / count for label, count in all_videos.items()]
        assert shares == pytest.approx([0.3] * 4, abs=0.15)
        drawn.add(frozenset(films["test"]))
    assert len(drawn) == 3


def test_held_out_groups_reach_over_classes_and_leave_each_of_them_a_video():
    items = [(f"{name}/{n}", name, f"person {n}") for name in "abc" for n in range(10)]
    held = held_out_paths(items, fraction=0.2, salt="s")
    persons = {path.split("/")[1] for path in held}
    assert len(persons) == 2
    assert held == {f"{name}/{n}" for name in "abc" for n in persons}
    items.append(("d/1", "d", "person 1"))  # the only one of its class
    for salt in "abcdef":
        assert not {path for path in held_out_paths(items, fraction=0.9, salt=salt)
                    if path.endswith("/1")}  # fmt: skip


def test_a_source_that_makes_the_share_as_much_too_large_as_it_was_too_small_is_held_out():
    """A quarter of two videos: one is as near to it as none."""
    items = [("a/1", "a", "one"), ("a/2", "a", "two")]
    assert len(held_out_paths(items, fraction=0.25, salt="s")) == 1
    assert len(held_out_paths(items, fraction=0.24, salt="s")) == 0


def test_a_listed_split_tells_how_many_test_videos_share_a_source(tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    videos = [f"Film_{n}_{{}}_f_cm_np1_fr_med_0.avi" for n in range(3)]
    for name, flags in {"run": (1, 1, 1), "wave": (2, 2, 1)}.items():
        lines = [f"{v.format(name)} {flag}\n" for v, flag in zip(videos, flags, strict=True)]
        (lists / f"{name}_test_split1.txt").write_text("".join(lines))
    touch(tmp_path, *(f"run/{v.format('run')}" for v in videos[:2]))
    touch(tmp_path, *(f"wave/{v.format('wave')}" for v in videos))
    text = str(collections.read_hmdb51(tmp_path, splits_dir=lists))
    assert "2 test videos share their source with a training video" in text


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real videos in {DATA}")
@pytest.mark.parametrize("name", ["set1", "set2"])
def test_sequences_of_ut_interaction_stay_on_one_side(name):
    listed = collections.read_folder(DATA / "ut_interaction" / name)
    dataset = splits.draw_test_videos(splits.tied(listed, {}))
    sides = {side: {Path(v.path).name[:5] for v in dataset.side(side)}
             for side in ("train", "test")}  # fmt: skip
    assert (len(sides["train"]), len(sides["test"])) == (7, 3)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real videos in {DATA}")
def test_films_of_hmdb51_stay_on_one_side_in_a_folder():
    listed = collections.read_folder(DATA / "hmdb21" / "videos")
    dataset = splits.draw_test_videos(splits.tied(listed, {}))
    films = {
        side: {Path(v.path).name.rsplit(f"_{Path(v.path).parent.name}_", 1)[0]
               for v in dataset.side(side)}
        for side in ("train", "test")
    }  # fmt: skip
    assert not films["train"] & films["test"]
    assert 0.25 < len(dataset.side("test")) / len(dataset.videos) < 0.35
    assert "share their source" not in str(dataset)
