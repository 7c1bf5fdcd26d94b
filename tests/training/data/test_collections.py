"""The readers of split lists, on lists and files that the tests make."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import DATA
from training.data import collections, splits
from training.data.groups import check_held_out, held_out_paths, source_group
from training.errors import UserError
from training.options import CollectionOptions

SHARED_SPLITS = DATA / "splits"


def touch(root: Path, *paths: str):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_lists(folder: Path, **contents: str) -> Path:
    """Text files of these names and contents."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.txt").write_bytes(content.encode())
    return folder


@pytest.fixture
def hmdb(tmp_path):
    write_lists(
        tmp_path / "testTrainMulti_7030_splits",
        wave_test_split2="a_wave_x.avi 1 \nb c_wave.avi 2 \nd_wave.avi 0 \n",
        clap_test_split2="e_clap.avi 2 \ngone_clap.avi 1 \n",
        jump_test_split2="f_jump.avi 1 \n",
    )
    touch(tmp_path / "videos", "wave/a_wave_x.avi", "wave/b c_wave.avi", "wave/d_wave.avi")
    touch(tmp_path / "videos", "clap/e_clap.avi", "clap/unlisted.avi", "clap/notes.txt")
    return tmp_path


def test_hmdb51_flags_labels_missing_and_absent_classes(hmdb):
    dataset = collections.read_hmdb51(hmdb, split=2)
    assert dataset.classes == ("clap", "wave")
    assert dataset.absent_classes == ("jump",)
    assert "1 of 3 classes have no video, e.g. jump" in str(dataset)
    found = {video.path: (video.label, video.side) for video in dataset.videos}
    assert found == {
        "clap/e_clap.avi": (0, "test"),
        "wave/a_wave_x.avi": (1, "train"),
        "wave/b c_wave.avi": (1, "test"),
        "wave/d_wave.avi": (1, "unused"),
    }
    assert [video.path for video in dataset.missing] == ["clap/gone_clap.avi"]
    assert dataset.unlisted == 1
    text = str(dataset)
    assert "2 classes, 1 training and 2 test videos" in text
    assert "1 listed files are missing, e.g. clap/gone_clap.avi" in text


def test_hmdb51_rejects_an_unknown_flag(hmdb):
    (hmdb / "testTrainMulti_7030_splits" / "wave_test_split2.txt").write_text("a_wave_x.avi 3\n")
    with pytest.raises(UserError, match=r"FLAG 0, 1 or 2; got 'a_wave_x.avi 3'"):
        collections.read_hmdb51(hmdb, split=2)


def test_hmdb51_without_lists_names_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=r"_test_split1\.txt in .*--splits-dir"):
        collections.read_hmdb51(tmp_path)


def test_ucf101_lists_with_crlf_and_labels_from_class_numbers(tmp_path):
    lists = write_lists(
        tmp_path / "lists",
        classInd="1 Zumba\r\n2 Archery\r\n",
        trainlist03="Zumba/v_Zumba_g08_c01.avi 1\r\nArchery/v_Archery_g08_c01.avi 2\r\n",
        testlist03="Archery/v_Archery_g01_c02.avi\r\n",
    )
    root = tmp_path / "UCF-101"
    touch(root, "Zumba/v_Zumba_g08_c01.avi", "Archery/v_Archery_g08_c01.avi")
    touch(root, "Archery/v_Archery_g01_c02.avi")
    dataset = collections.read_ucf101(tmp_path, splits_dir=lists, split=3)
    assert dataset.root == root
    assert dataset.classes == ("Zumba", "Archery")  # by number, not by name
    assert [(v.label, v.side, v.group) for v in dataset.videos] == [
        (0, "train", "Zumba/v_Zumba_g08"),
        (1, "train", "Archery/v_Archery_g08"),
        (1, "test", "Archery/v_Archery_g01"),
    ]


@pytest.mark.skipif(not SHARED_SPLITS.is_dir(), reason="the official lists are not here")
@pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734),
                                                      (3, 9624, 3696)])  # fmt: skip
def test_official_ucf101_lists(tmp_path, split, train, test):
    lists = SHARED_SPLITS / "ucfTrainTestlist"
    touch(tmp_path, *(lists / f"testlist0{split}.txt").read_text().split())
    dataset = collections.read_ucf101(tmp_path, splits_dir=lists, split=split)
    listed = Counter(video.side for video in dataset.videos + dataset.missing)
    assert len(dataset.classes) == 101
    assert listed == {"train": train, "test": test}


@pytest.mark.skipif(not SHARED_SPLITS.is_dir(), reason="the official lists are not here")
@pytest.mark.parametrize("split", [1, 2, 3])
def test_official_hmdb51_lists(tmp_path, split):
    lists = SHARED_SPLITS / "testTrainMulti_7030_splits"
    for file in lists.glob(f"*_test_split{split}.txt"):
        lines = file.read_text().splitlines()
        first = next(line for line in lines if line.split()[-1] == "1").split(".avi")[0]
        touch(tmp_path, f"{file.name.split('_test_split')[0]}/{first}.avi")
    dataset = collections.read_hmdb51(tmp_path, splits_dir=lists, split=split)
    listed = Counter(video.side for video in dataset.videos + dataset.missing)
    assert len(dataset.classes) == 51
    assert len(dataset.videos) == 51
    assert listed == {"train": 3570, "test": 1530, "unused": 1666}


def test_folder_keeps_sources_on_one_side_and_about_30_percent(tmp_path):
    paths = [f"run/v_run_g{g:02d}_c{c:02d}.avi" for g in range(10) for c in range(4)]
    touch(tmp_path, *paths, *(f"sit/{n}.mp4" for n in range(20)), "sit/readme.md")
    tests = []
    for split in (1, 2, 3):
        listed = collections.read_folder(tmp_path, split=split)
        alone = {video.path: video.path for video in listed.videos}
        dataset = splits.draw_test_videos(splits.tied(listed, alone))
        assert dataset.classes == ("run", "sit")
        assert len(dataset.videos) == 60
        sides = {}
        for video in dataset.videos:
            assert sides.setdefault(source_group(video.path), video.side) == video.side
        counts = Counter((video.label, video.side) for video in dataset.videos)
        assert counts[0, "test"] == 12
        assert counts[1, "test"] == 6
        tests.append({video.path for video in dataset.side("test")})
        assert splits.draw_test_videos(splits.tied(listed, alone)) == dataset
    assert len(set(map(frozenset, tests))) == 3


@pytest.mark.parametrize(
    ("look_alike", "num_tests"),
    [
        ({f"sit/{n:02d}.mp4": f"sit/{n // 5 * 5:02d}.mp4" for n in range(20)}, 5),
        ({f"{name}/{name}{n:02d}.mp4": f"a/a{n:02d}.mp4" for name in "ab" for n in range(10)}, 6),
    ],
    ids=["of one class", "of two classes"],
)
def test_look_alikes_stay_on_one_side(tmp_path, look_alike, num_tests):
    touch(tmp_path, *look_alike)
    for split in (1, 2, 3):
        listed = collections.read_folder(tmp_path, split=split)
        dataset = splits.draw_test_videos(splits.tied(listed, look_alike))
        sides = {video.path: video.side for video in dataset.videos}
        assert all(sides[path] == sides[first] for path, first in look_alike.items())
        assert len(dataset.side("test")) == num_tests


def test_look_alikes_tie_whole_sources(tmp_path):
    """A second clip of film A is a copy of one of film B: all clips of both are one group."""
    clips = "{}_sit_f_cm_np1_fr_med_{}.avi"
    paths = [f"sit/{clips.format(*one)}" for one in (("A", 0), ("A", 1), ("B", 0), ("C", 0))]
    touch(tmp_path, *paths)
    alike = {path: path for path in paths} | {paths[2]: paths[1]}
    listed = splits.tied(collections.read_folder(tmp_path, split=1), alike)
    group = {video.path: video.group for video in listed.videos}
    assert len({group[path] for path in paths[:3]}) == 1
    assert group[paths[3]] != group[paths[0]]


def test_a_large_and_a_small_group_hold_out_the_small_one():
    items = [(f"{n}.avi", "a", "large" if n else "small") for n in range(10)]
    for salt in "abcdef":
        assert held_out_paths(items, fraction=0.3, salt=salt) == {"0.avi"}
    assert held_out_paths(items[1:], fraction=0.3, salt="a") == set()
    with pytest.raises(UserError, match=r"--val-fraction 0\.3 holds nothing out"):
        check_held_out(0.3, 0)


def test_a_class_that_cannot_be_tested_is_named(tmp_path):
    touch(tmp_path, *(f"{name}/{name}{n}.mp4" for name in "ab" for n in range(4)))
    alike = {
        f"{name}/{name}{n}.mp4": f"{name}/{name}{n * (name == 'a')}.mp4"
        for name in "ab"
        for n in range(4)
    }
    dataset = splits.draw_test_videos(
        splits.tied(collections.read_folder(tmp_path, split=1), alike)
    )
    assert "; classes without a test video: 1, e.g. b" in str(dataset)


def test_a_video_that_is_listed_twice_has_no_side(tmp_path):
    touch(tmp_path / "videos", "a/1.mp4", "a/2.mp4")
    contents = {"classInd": "1 a", "trainlist01": "a/1.mp4 1\na/2.mp4 1", "testlist01": "a/2.mp4"}
    lists = write_lists(tmp_path / "lists", **contents)
    with pytest.raises(UserError, match=r"name 1 videos more than once, e\.g\. a/2\.mp4"):
        collections.read_folder(tmp_path / "videos", splits_dir=lists)


@pytest.mark.parametrize(
    "contents",
    [
        {"a_test_split1": "3.MOV 1", "b_test_split1": "1.mp4 1\n2.mkv 2"},
        {"classInd": "1 a\n2 b", "trainlist01": "a/3.MOV 1\nb/1.mp4 2", "testlist01": "b/2.mkv"},
    ],
    ids=["hmdb", "ucf"],
)
def test_folder_honours_split_files_of_its_own(tmp_path, contents):
    touch(tmp_path / "videos", "b/1.mp4", "b/2.mkv", "a/3.MOV")
    lists = write_lists(tmp_path / "lists", **contents)
    dataset = collections.read_folder(tmp_path / "videos", splits_dir=lists)
    assert (dataset.name, dataset.classes) == ("folder", ("a", "b"))
    found = {(v.path, v.label, v.side) for v in dataset.videos}
    assert found == {("a/3.MOV", 0, "train"), ("b/1.mp4", 1, "train"), ("b/2.mkv", 1, "test")}


def test_folder_counts_what_it_leaves_out(tmp_path):
    touch(tmp_path, "a/1.avi", "b/2.MP4", "b/new.gif", "b/new\nname.txt", "b/part/3.avi")
    touch(tmp_path, "b/part/deep/4.txt", "only_nested/more/5.mkv", "loose.avi")
    touch(tmp_path, ".cache/6.txt", "a/.DS_Store", "lists/a_test_split1.txt")
    (tmp_path / "lists" / "a_test_split1.txt").write_text("1.avi 1\n")
    left_out = [
        *("b/new\nname.txt", "b/new.gif", "b/part/3.avi", "b/part/deep/4.txt"),
        *("loose.avi", "only_nested/more/5.mkv"),
    ]
    dataset = collections.read_folder(tmp_path, splits_dir=tmp_path / "lists")
    assert dataset.left_out == tuple(sorted(left_out))
    assert "; 1 files are in no list" in str(dataset)  # b/2.MP4
    dataset = collections.read_folder(tmp_path)
    assert [video.path for video in dataset.videos] == ["a/1.avi", "b/2.MP4"]
    assert dataset.left_out == tuple(sorted([*left_out, "lists/a_test_split1.txt"]))
    expected = r"loose or in nested folders left out, e.g. 'b/new\nname.txt'"
    assert str(dataset).endswith(f"; 7 files of other kinds, {expected}")
    assert "\n" not in str(dataset)


def test_folder_names_classes_that_are_empty(tmp_path):
    touch(tmp_path, "a/1.avi", "b/2.avi", "notes/1.txt")
    (tmp_path / "c").mkdir()
    (tmp_path / ".cache").mkdir()
    dataset = collections.read_folder(tmp_path)
    assert (dataset.classes, dataset.absent_classes) == (("a", "b"), ("c",))
    assert "1 of 3 classes have no video, e.g. c" in str(dataset)


def test_spellings_of_the_same_characters_are_one_class(tmp_path):
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    touch(tmp_path, f"train/{decomposed}/1.avi", f"test/{composed}/2.avi", "train/run/3.avi")
    dataset = collections.read_folder(tmp_path)
    assert dataset.classes == (composed, "run")
    sides = {video.path: (video.label, video.side) for video in dataset.videos}
    assert sides[f"train/{decomposed}/1.avi"] == (0, "train")
    assert sides[f"test/{composed}/2.avi"] == (0, "test")


def test_folder_with_a_part_that_cannot_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.avi", "b/2.avi")
    (tmp_path / "lost+found").mkdir()

    def refusing(function):
        def read(path="."):
            if Path(path).name == "lost+found":
                raise PermissionError(13, "Permission denied", str(path))
            return function(path)

        return read

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    dataset = collections.read_folder(tmp_path)
    assert (dataset.classes, dataset.absent_classes, dataset.left_out) == (("a", "b"), (), ())
    assert "left out" not in str(dataset)


def test_folder_with_links_in_a_circle_comes_to_an_end(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "a/1.avi", "a/more/2.avi", "a/more/note.txt")
    touch(elsewhere, "3.avi", "note.txt", "deep/4.avi")
    (root / "b").symlink_to(elsewhere)
    (root / "self").symlink_to("self")
    (root / "up").symlink_to("..")
    (root / "a" / "here").symlink_to(".")
    (root / "a" / "root").symlink_to("..")
    (elsewhere / "deep" / "back").symlink_to(root)
    dataset = collections.read_folder(root)
    assert [video.path for video in dataset.videos] == ["a/1.avi", "b/3.avi"]
    assert dataset.left_out == ("a/more/2.avi", "a/more/note.txt", "b/deep/4.avi", "b/note.txt",
                                "self")  # fmt: skip


def test_folder_without_videos_says_what_was_expected(tmp_path):
    touch(tmp_path, "notes/readme.txt")
    with pytest.raises(
        UserError, match=r"expected folders named after the classes.* 1 \.txt files"
    ):
        collections.read_folder(tmp_path)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("Archery/v_Archery_g08_c03.avi", "Archery/v_Archery_g08"),
        ("clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi", "#20_Rhythm"),
        ("wave/#20_Rhythm_wave_u_nm_np1_fr_goo_12.avi", "#20_Rhythm"),
        ("run/Big_Film_3_run_u_nm_np1_fr_goo_1.avi", "Big_Film"),
        ("shoot_ball/21_shoot_ball_u_nm_np1_fr_goo_1.avi", "21"),
        ("kick/seq07_kick_33.avi", "seq07"),
        ("run/my_run_1.avi", "run/my_run_1"),
        ("red_hop/demo07_red_hop.avi", "red_hop/demo07_red_hop"),
        ("any/holiday 3.mp4", "any/holiday 3"),
    ],
)
def test_group_of(path, group):
    assert source_group(path) == group


def test_hold_out_takes_names_that_are_not_utf8():
    names = [os.fsdecode(b"caf\xe9 %d.avi" % number) for number in range(10)]
    held = held_out_paths([(f"a/{n}", "a", n) for n in names], fraction=0.3, salt="s")
    assert len(held) == 3


def test_hold_out_never_empties_a_class():
    items = [("a/1", "a", "one"), ("a/2", "a", "one"), ("b/1", "b", "x"), ("b/2", "b", "y")]
    assert held_out_paths(items, fraction=0.9, salt="s") <= {"b/1", "b/2"}
    assert len(held_out_paths(items, fraction=0.9, salt="s")) == 1
    assert held_out_paths(items, fraction=0.0, salt="s") == set()


def sides_of(dataset) -> dict[str, str]:
    return {video.path: video.side for video in dataset.videos}


def test_folders_of_sides_are_a_split(tmp_path):
    touch(tmp_path, "Train/a/1.avi", "Train/b/2.avi", "Train/a/v_a_g01_c01.avi", "valid/a/3.avi")
    touch(tmp_path, "test/a/v_a_g01_c02.avi", "test/b/4.avi", "test/notes.txt")
    dataset = collections.read_folder(tmp_path)
    assert dataset.classes == ("a", "b")
    assert dataset.left_out == ("test/notes.txt",)
    assert sides_of(dataset) == {
        "Train/a/1.avi": "train",
        "Train/a/v_a_g01_c01.avi": "train",
        "Train/b/2.avi": "train",
        "valid/a/3.avi": "val",
        "test/a/v_a_g01_c02.avi": "test",
        "test/b/4.avi": "test",
    }
    text = str(dataset)
    assert "2 classes, 3 training and 2 test videos, 1 held out" in text
    assert "; 1 test videos share their source with a training video" in text
    with pytest.raises(UserError, match="has one split of its own: there is no --split 2"):
        collections.read_folder(tmp_path, split=2)
    of_folds = collections.read_folder(tmp_path, split=None)
    assert set(sides_of(of_folds).values()) == {"train"}


def test_sides_of_linked_classes_are_a_split(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(elsewhere, "a train/1.avi", "b train/2.avi", "a test/3.avi", "b test/4.avi")
    for side, name in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        (root / side).mkdir(parents=True, exist_ok=True)
        (root / side / name).symlink_to(elsewhere / f"{name} {side}")
    expected = {f"train/{path}": "train" for path in ("a/1.avi", "b/2.avi")}
    expected |= {f"test/{path}": "test" for path in ("a/3.avi", "b/4.avi")}
    assert sides_of(collections.read_folder(root)) == expected
    touch(root, "notes/of/the/day/5.avi")  # neither a side nor a class: left out
    dataset = collections.read_folder(root)
    assert sides_of(dataset) == expected
    assert dataset.left_out == ("notes/of/the/day/5.avi",)


def test_a_folder_of_validation_videos_without_test_videos_is_of_test_videos(tmp_path):
    touch(tmp_path, "train/a/1.avi", "train/b/2.avi", "val/a/3.avi", "val/b/4.avi")
    assert Counter(sides_of(collections.read_folder(tmp_path)).values()) == {"train": 2, "test": 2}


def test_sides_are_not_classes(tmp_path):
    touch(tmp_path, "train/1.avi", "test/2.avi", "val/3.avi")
    with pytest.raises(UserError, match=r"test, train, val are sides of a split, not classes"):
        collections.read_folder(tmp_path)
    touch(tmp_path, "run/4.avi")  # a class, so that the others are as well
    assert collections.read_folder(tmp_path).classes == ("run", "test", "train", "val")


@pytest.mark.parametrize(
    ("form", "is_person_first"),
    [("{person}/{name}/{n}.avi", True), ("{name}/{person}/{n}.avi", False)],
)
def test_folders_of_persons_are_groups(tmp_path, capsys, form, is_person_first):
    persons = ("person01", "person02", "person03")
    touch(tmp_path, *(form.format(person=p, name=name, n=n)
                      for p in persons for name in ("hug", "kick") for n in range(2)))  # fmt: skip
    dataset = collections.read_folder(tmp_path)
    assert dataset.classes == ("hug", "kick")
    for video in dataset.videos:
        parts = video.path.split("/")
        assert video.group == parts[not is_person_first]
        assert dataset.classes[video.label] == parts[is_person_first]
    assert "3 sources, e.g. 'person01', of classes such as 'hug'" in capsys.readouterr().out


def test_nested_folders_whose_names_do_not_recur_are_refused(tmp_path):
    touch(tmp_path, "a/x/1.avi", "b/y/2.avi")
    with pytest.raises(UserError, match=r"none of whose names recurs: .* with --labels"):
        collections.read_folder(tmp_path)


def test_other_kinds_of_videos_and_what_was_found(tmp_path):
    touch(tmp_path, "a/1.m4v", "b/2.WMV", "b/3.ogv", "b/4.xyz")
    dataset = collections.read_folder(tmp_path)
    assert [video.path for video in dataset.videos] == ["a/1.m4v", "b/2.WMV", "b/3.ogv"]
    touch(tmp_path / "flat", *(f"{n}.m4v" for n in range(6)), "7.mp4")
    with pytest.raises(UserError, match=r"6 \.m4v files, 1 \.mp4 files lie in the folder itself"):
        collections.read_folder(tmp_path / "flat")
    touch(tmp_path / "odd", "a/1.xyz", "b/2.xyz", "b/README")
    with pytest.raises(UserError, match=r"2 \.xyz files, 1 unnamed files found"):
        collections.read_folder(tmp_path / "odd")


def test_a_table_names_classes_sides_and_groups(tmp_path):
    touch(tmp_path, "1.m4v", "deep/er/2.bin", "3.mp4", "4.mp4", "5.mp4")
    table = tmp_path / "labels.csv"
    table.write_bytes(
        "\ufeffPath, Label,split,group,note\r\n./1.m4v,run,train,p1,x\r\ndeep\\er\\2.bin,run fast,"
        f"val,p2,\r\n3.mp4,run,test,p3\r\n{tmp_path}/5.mp4,run fast,test,p1\r\ngone.mp4,run,test,p3"
        .encode()
    )  # fmt: skip
    dataset = collections.read_folder(tmp_path, labels=table)
    assert dataset.classes == ("run", "run fast")
    assert [(v.path, v.label, v.side, v.group) for v in dataset.videos] == [
        ("1.m4v", 0, "train", "p1"),
        ("deep/er/2.bin", 1, "val", "p2"),
        ("3.mp4", 0, "test", "p3"),
        ("5.mp4", 1, "test", "p1"),
    ]
    assert [video.path for video in dataset.missing] == ["gone.mp4"]
    assert dataset.unlisted == 1
    table.write_text("path,label\n1.m4v,a\n3.mp4,b\n")
    dataset = collections.read_folder(tmp_path, labels=table, split=2)
    assert sides_of(dataset) == {"1.m4v": "train", "3.mp4": "train"}  # test videos are drawn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"labels\.csv cannot be read: .*No such file"),
        ("", "has no column path"),
        ("path,class\n1.avi,a\n", r"no column label: .*path,label\[,split\].*got 'path,class'"),
        ("path,label\n1.avi,\n", r"row 2: no label in"),
        ("path,label,split\n1.avi,a,trial\n", r"must be train, val or test, got 'trial'"),
        ("path,label\n../1.avi,a\n", r"names \.\./1\.avi, which does not lie in --data-dir"),
        ("path,label\n1.avi,a\n1.avi,b\n", r"name 1 videos more than once, e\.g\. 1\.avi"),
        (
            "path,label\n9.avi,a\n",
            r"none of its 1 videos is below .*/9\.avi is not there: each path",
        ),
        ("path,label\n", r"none of its 0 videos is below .*: each path"),
    ],
)
def test_tables_that_name_no_classes(tmp_path, text, message):
    touch(tmp_path, "1.avi")
    file = tmp_path / "labels.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        collections.read_folder(tmp_path, labels=file)


@pytest.mark.parametrize("end", ["", " 1", "\t1", "  1 "])
def test_ucf101_lists_of_other_systems(tmp_path, end):
    touch(tmp_path, "a/v 1.avi", "a/2.avi", "b/3.avi")
    lists = write_lists(
        tmp_path / "lists",
        classInd="\ufeff1\ta\r\n2  b\r\n",
        trainlist01="\ufeffa\\v 1.avi  1\r\n\r\n./b/3.avi\t2\r\n",
        testlist01=f"./a/2.avi{end}\r\n",
    )
    dataset = collections.read_ucf101(tmp_path, splits_dir=lists)
    assert sides_of(dataset) == {"a/v 1.avi": "train", "b/3.avi": "train", "a/2.avi": "test"}
    assert dataset.missing == ()
    (lists / "testlist01.txt").write_text("a/2.avi 2\n")
    with pytest.raises(UserError, match=r"a/2\.avi bears the number 2, .* a the number 1"):
        collections.read_ucf101(tmp_path, splits_dir=lists)


def test_hmdb51_lists_of_other_systems(tmp_path):
    touch(tmp_path, "wave/a 1.avi", "wave/b.avi", "wave/c.avi")
    text = "\ufeffa 1.avi\t1\r\nwave\\b.avi  2\r\n./c.avi 0\r\n"
    lists = write_lists(tmp_path / "lists", wave_test_split1=text)
    dataset = collections.read_hmdb51(tmp_path, splits_dir=lists)
    assert sides_of(dataset) == {
        "wave/a 1.avi": "train",
        "wave/b.avi": "test",
        "wave/c.avi": "unused",
    }
    (lists / "wave_test_split1.txt").write_text("clap/b.avi 1\n")
    with pytest.raises(UserError, match=r"is of class wave, but names a video of clap/b\.avi"):
        collections.read_hmdb51(tmp_path, splits_dir=lists)


def chosen(root: Path, **options):
    return collections.load_dataset(
        CollectionOptions(dataset="folder", data_dir=root, **options), 1
    )


@pytest.fixture
def three_classes(tmp_path):
    touch(tmp_path / "data", *(f"{c}/{c}{n}.avi" for c in ("bow", "clap", "wave") for n in (1, 2)))
    return tmp_path / "data"


def test_some_classes_count_in_the_order_of_all(three_classes):
    dataset = chosen(three_classes, classes="wave, bow")
    assert dataset.classes == ("bow", "wave")
    assert {(v.path, v.label) for v in dataset.videos} == {
        ("bow/bow1.avi", 0), ("bow/bow2.avi", 0), ("wave/wave1.avi", 1), ("wave/wave2.avi", 1),
    }  # fmt: skip


def test_a_class_with_a_comma_is_named_in_quotes(tmp_path):
    touch(tmp_path, "sit, then stand/1.avi", "run/2.avi", "wave/3.avi")
    dataset = chosen(tmp_path, classes='run,"sit, then stand"')
    assert dataset.classes == ("run", "sit, then stand")
    with pytest.raises(UserError, match=r'are run, "sit, then stand", wave$'):
        chosen(tmp_path, classes="run,sit, then stand")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("wave,jump", "'jump' is no class of .* are bow, clap, wave"),
        ("wave", "two or more to tell apart, got 'wave'"),
        (",", "two or more to tell apart, got ''"),
    ],
)
def test_classes_that_are_not_there_or_too_few(three_classes, names, message):
    with pytest.raises(UserError, match=message):
        chosen(three_classes, classes=names)


def test_excluded_videos_are_left_out_and_counted(three_classes, tmp_path):
    (tmp_path / "bad.txt").write_text("\ufeffclap\\clap2.avi\n\n./wave/wave1.avi\n")
    dataset = chosen(three_classes, exclude=tmp_path / "bad.txt")
    assert [video.path for video in dataset.videos] == [
        "bow/bow1.avi", "bow/bow2.avi", "clap/clap1.avi", "wave/wave2.avi",
    ]  # fmt: skip
    assert "; 2 are excluded" in str(dataset)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("wave/wave9.avi", "'wave/wave9.avi', which is no video of .* like 'bow/bow1.avi'"),
        ("wave/wave1.avi\nwave/wave2.avi", "leaves class 'wave' without a video"),
    ],
)
def test_lists_of_excluded_videos_that_cannot_be_meant(three_classes, tmp_path, lines, message):
    (tmp_path / "bad.txt").write_text(lines)
    with pytest.raises(UserError, match=message):
        chosen(three_classes, exclude=tmp_path / "bad.txt")


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("folder", {"wave_test_split1": "", "clap_test_split1": "", "wave_test_split5": ""}),
        ("ucf101", {"classInd": "", "trainlist01": "", "testlist01": "", "testlist05": ""}),
    ],
)
def test_there_are_as_many_splits_as_lists(tmp_path, dataset, names):
    lists = write_lists(tmp_path / "lists", **names)
    options = CollectionOptions(dataset=dataset, data_dir=tmp_path, splits_dir=lists)
    assert options.split_numbers() == (1, 5)
    with pytest.raises(UserError, match=r"no split 2 of \w+: its lists are of splits 1, 5"):
        collections.load_dataset(options, 2)
