"""Your own pictures and texts: any format, any layout, and what is said about what cannot be used."""

import os
import shutil
import sys
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from course_utils.data import cache as caching
from course_utils.data import decoding
from course_utils.data.images import read_picture, to_rgb, to_square
from course_utils.data.tasks import task_from_csv, task_from_folder
from course_utils.errors import BadData


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))


def photo(number, size=(40, 30)):
    """A picture unlike the others: random blocks, the same for the same number."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def make_folder(root, counts, start=0):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            start += 1
            photo(start).save(root / name / f"{k:03}.png")
    return root


def quiet(path, **options):
    """The task, having made sure that no warning was given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return task_from_folder(path, **options)


def split_bytes(split):
    return {x.tobytes() for x in split.x}


# --- folders: layout and split ---


def test_a_fifth_of_each_class_tests_whatever_the_seed(tmp_path):
    root = make_folder(tmp_path / "photos", {"cats": 20, "dogs": 10, "emus": 1 + 1})
    a, b = quiet(root), quiet(root, seed=7, per_class=1)
    assert a.classes == ["cats", "dogs", "emus"] and a.name == "photos"
    assert np.bincount(a.test.y).tolist() == [4, 2, 1] and np.bincount(a.train.y).tolist() == [16, 8, 1]
    assert np.array_equal(a.test.x, b.test.x) and np.array_equal(a.test.y, b.test.y)
    assert not split_bytes(a.train) & split_bytes(a.test)
    assert a.train.x.dtype == np.uint8 and a.train.x.shape == (25, 3, 64, 64)


def test_the_test_pictures_stay_when_pictures_are_added(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 50, "b": 50})
    before = split_bytes(quiet(root, image_size=16).test)
    photo(900).save(root / "a" / "zz.png")
    assert len(before & split_bytes(quiet(root, image_size=16).test)) >= 18


def test_per_class_is_nested_and_drawn_by_seed(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 30, "b": 30})
    few, more, other = (quiet(root, per_class=n, seed=s, image_size=16) for n, s in ((3, 1), (9, 1), (3, 2)))
    assert split_bytes(few.train) < split_bytes(more.train)
    assert split_bytes(few.train) != split_bytes(other.train)
    assert np.bincount(more.train.y).tolist() == [9, 9]


def test_train_and_test_folders_are_the_split_and_val_joins_training(tmp_path, capsys):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "Test", {"a": 2, "b": 3}, start=100)
    task = quiet(root, image_size=16)
    assert np.bincount(task.train.y).tolist() == [4, 4] and np.bincount(task.test.y).tolist() == [2, 3]
    assert task.notice == ""
    make_folder(root / "val", {"a": 1, "b": 1}, start=200)
    task = quiet(root, image_size=16)
    assert np.bincount(task.train.y).tolist() == [5, 5] and np.bincount(task.test.y).tolist() == [2, 3]
    assert "val/ joins the training pictures" in task.notice and task.notice in capsys.readouterr().out


def test_val_alone_is_the_test_split_and_a_notice_says_so(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "valid", {"a": 2, "b": 2}, start=100)
    task = quiet(root, image_size=16)
    assert len(task.test) == 4 and "val/ is the test split" in task.notice


def test_classes_may_be_called_train_and_bus(tmp_path):
    root = make_folder(tmp_path / "vehicles", {"train": 6, "bus": 6})
    assert quiet(root, image_size=16).classes == ["bus", "train"]


def test_a_zip_reads_like_the_folder_and_nothing_is_unpacked(tmp_path):
    root = make_folder(tmp_path / "in" / "photos", {"a": 6, "b": 6})
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for path in sorted(root.rglob("*.png")):
            file.write(path, path.relative_to(root.parent))
        file.write(root / "a" / "000.png", "photos/a/../../../outside.png")
        file.writestr("__MACOSX/photos/a/._000.png", b"x")
    zipped, folder = quiet(tmp_path / "photos.zip", image_size=16), quiet(root, image_size=16)
    assert np.array_equal(zipped.train.y[:4], folder.train.y[:4]) and zipped.classes == folder.classes
    assert not list(tmp_path.parent.glob("outside.png")) and not list(tmp_path.rglob("outside.png"))


def test_folders_around_the_class_folders_are_passed_through(tmp_path):
    make_folder(tmp_path / "download" / "photos" / "set", {"a": 5, "b": 5})
    assert quiet(tmp_path / "download", image_size=16).classes == ["a", "b"]


def test_hidden_files_are_no_pictures(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5})
    for name in (
        ".DS_Store",
        "a/._000.png",
        "a/Thumbs.db",
        ".ipynb_checkpoints/000.png",
        "b/.ipynb_checkpoints/x",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not a picture")
    assert quiet(root, image_size=16).classes == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights there")
def test_links_are_followed_but_not_in_circles(tmp_path):
    make_folder(tmp_path / "elsewhere", {"b": 5})
    root = make_folder(tmp_path / "photos", {"a": 5}, start=50)
    (root / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning, match=r"1 of 11 files .*a/broken.png \(cannot be opened\)"):
        task = task_from_folder(root, image_size=16)
    assert np.bincount(task.test.y).tolist() == [1, 1]


# --- folders: formats ---


def stored(picture, path, **options):
    picture.save(path, **options)
    return read_picture(path, 32)


def test_every_mode_comes_out_in_the_same_colours(tmp_path):
    plain = photo(1, (64, 64))
    want = read_picture_of(plain).astype(int)
    cmyk = stored(plain.convert("CMYK"), tmp_path / "cmyk.tif").astype(int)
    palette = stored(plain.quantize(256), tmp_path / "palette.gif").astype(int)
    jpeg = stored(plain, tmp_path / "a.jpg", quality=98, subsampling=0).astype(int)
    assert np.abs(cmyk - want).max() <= 2
    assert np.abs(palette - want).mean() < 4
    assert np.abs(jpeg - want).mean() < 4
    for ending in ("png", "bmp", "tif", "webp", "ppm", "tga"):
        options = {"lossless": True} if ending == "webp" else {}
        assert np.array_equal(stored(plain, tmp_path / f"a.{ending}", **options), want), ending
    grey = stored(plain.convert("L"), tmp_path / "grey.png")
    assert np.array_equal(grey[0], grey[1]) and np.abs(grey[0] - read_picture_of(plain.convert("L"))[0]).max() == 0


def read_picture_of(picture):
    return to_square(to_rgb(picture), 32)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(tmp_path, mode):
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (0, 0, 40, 20))
    if mode == "P":
        picture = picture.quantize(4)
    out = stored(picture.convert(mode), tmp_path / "a.png")
    assert out[:, -4:].min() >= 250 and out[1, :4].max() < 130


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    for name in ("a.png", "a.tif"):
        row = stored(Image.fromarray(ramp), tmp_path / name)[0, 16]
        assert row[0] <= 4 and row[-1] >= 251 and np.all(np.diff(row.astype(int)) > 0)
        assert abs(int(row[16]) - 128) <= 5


def test_wide_numbers_are_scaled_to_the_range_that_holds_them(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    for values in (ramp, ramp * 255, (ramp * 65535).astype(np.int32), ramp * 2e6 - 1e6):
        row = stored(Image.fromarray(values), tmp_path / "a.tif")[0, 16].astype(int)
        assert row[0] <= 5 and row[-1] >= 250 and np.all(np.diff(row) > 0)


def test_the_camera_s_rotation_is_applied(tmp_path):
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste((255, 255, 255), (0, 0, 60, 10))  # a white strip at the top
    exif = Image.Exif()
    for orientation, side in ((1, "top"), (3, "bottom"), (6, "right"), (8, "left")):
        exif[0x0112] = orientation
        out = stored(picture, tmp_path / "a.jpg", exif=exif, quality=95)[0].astype(int)
        edges = {"top": out[:3], "bottom": out[-3:], "left": out[:, :3], "right": out[:, -3:]}
        assert max(edges, key=lambda name: edges[name].mean()) == side


def test_moving_pictures_give_their_first_frame(tmp_path):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for ending in ("gif", "webp", "tif", "png"):
        out = stored(frames[0], tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
        assert out[0].min() > 240 and out[2].max() < 15, ending


def test_the_middle_is_cut_and_shrinking_smooths(tmp_path):
    picture = Image.new("RGB", (300, 100), "blue")
    picture.paste((255, 0, 0), (100, 0, 200, 100))
    out = stored(picture, tmp_path / "a.png")
    assert out[0].min() > 230 and out[2].max() < 25  # a pixel at the edge sees a little of its neighbours
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the small picture can show: it has to come out grey
    for name in ("stripes.png", "stripes.jpg"):
        grey = stored(Image.fromarray(stripes), tmp_path / name, **({"quality": 100} if "jpg" in name else {}))
        assert abs(float(grey.mean()) - 127.5) < 2 and grey.std() < 3


def test_unreadable_files_are_left_out_in_one_warning(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    photo(99, (100, 100)).save(root / "a" / "huge.png")
    whole = (root / "a" / "000.png").read_bytes()
    (root / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "notes.txt").write_text("hello")
    (root / "b" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (root / "readme.md").write_text("hello")
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = [str(w.message) for w in caught]
    assert sum("cannot be read" in text for text in texts) == 1 and len(texts) == 2
    for part in (
        "4 of 16",
        "a/huge.png (more pixels than Pillow's limit)",
        "b/cut.png (damaged or cut off)",
        "b/notes.txt (not a picture that the course reads)",
        "b/phone.heic (HEIC, save it as JPEG)",
    ):
        assert part in texts[0]
    assert "readme.md" in texts[1] and texts[0] in task.notice
    assert len(task.train) + len(task.test) == 12


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pillow_s_own_limit_stays_on(tmp_path):
    width = Image.MAX_IMAGE_PIXELS // 100 + 1
    Image.new("1", (width, 101)).save(tmp_path / "huge.png")
    with pytest.raises(Image.DecompressionBombError):
        read_picture(tmp_path / "huge.png", 16)


# --- folders: what is wrong with them ---


def test_an_empty_class_is_named(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5, "nothing": 0})
    (root / "broken").mkdir()
    (root / "broken" / "x.jpg").write_bytes(b"no")
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = [str(w.message) for w in caught]
    assert len(texts) == 2 and texts[1].endswith("left out: class broken, nothing.")
    assert {w.filename for w in caught} == {__file__}  # they point at the learner's own line
    assert task.classes == ["a", "b"] and set(task.train.y) == {0, 1}


def test_classes_missing_on_one_side_are_named(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4, "onlytrain": 2}).parent
    make_folder(root / "test", {"a": 2, "b": 2, "atest": 2}, start=100)
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = " ".join(str(w.message) for w in caught)
    assert "left out: class atest" in texts and "stays unknown: class onlytrain" in texts
    assert task.classes == ["a", "b", "onlytrain"] and sorted(task.test.y.tolist()) == [0, 0, 1, 1]


def test_copies_across_a_given_split_are_named(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "test", {"a": 2, "b": 2}, start=100)
    shutil.copy(root / "train" / "a" / "001.png", root / "test" / "a" / "copy.png")
    smaller = Image.open(root / "train" / "b" / "002.png").resize((32, 24), Image.Resampling.BICUBIC)
    smaller.save(root / "test" / "b" / "smaller.jpg", quality=85)
    with pytest.warns(UserWarning, match="2 pictures are in the training and in the test split") as caught:
        task_from_folder(root)
    text = str(caught[0].message)
    assert "test/a/copy.png = train/a/001.png" in text and "test/b/smaller.jpg = train/b/002.png" in text


def test_copies_stay_on_one_side_and_copies_in_two_classes_are_named(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 10})
    for k in range(10):
        shutil.copy(root / "a" / f"{k:03}.png", root / "a" / f"copy{k}.png")
    task = quiet(root, image_size=16)
    assert not split_bytes(task.train) & split_bytes(task.test)
    assert np.bincount(task.test.y).tolist() == [4, 2] and "20 pictures look the same" in task.notice
    shutil.copy(root / "a" / "000.png", root / "b" / "wrong.png")
    with pytest.warns(UserWarning, match=r"in two classes: .*b/wrong.png = a/000.png"):
        task_from_folder(root, image_size=16)


def test_pictures_that_are_alike_by_nature_can_still_be_split(tmp_path):
    root = tmp_path / "xrays"
    base = np.asarray(photo(5, (64, 64)).convert("L")).astype(int)
    for k in range(40):
        (root / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(-6, 7, base.shape)
        Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8)).save(root / "ab"[k % 2] / f"{k}.png")
    task = quiet(root)
    assert np.bincount(task.test.y).tolist() == [4, 4] and "only identical ones" in task.notice


def bad(path, *parts, **options):
    with pytest.raises(BadData) as caught:
        task_from_folder(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    for part in parts:
        assert part in message, message


def test_impossible_folders_are_clear_errors(tmp_path):
    root = make_folder(tmp_path / "photos", {"cats": 3})
    bad(root, "one class with pictures, cats", "two folders")
    bad(tmp_path / "fotos", "fotos does not exist", "Did you mean photos?")
    bad(tmp_path / "no" / "where", "does not exist either")
    bad(root / "cats" / "000.png", "neither a folder nor a zip")
    bad(root / "cats", "no class folders", "000.png")
    (tmp_path / "empty").mkdir()
    bad(tmp_path / "empty", "is empty")
    for name in ("x", "y"):
        (tmp_path / "junk" / name).mkdir(parents=True)
        (tmp_path / "junk" / name / "a.jpg").write_bytes(b"no")
    bad(tmp_path / "junk", "None of the 2 files", "x/a.jpg (not a picture that the course reads)")
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    (tmp_path / "hollow" / "b").mkdir(parents=True)
    bad(tmp_path / "hollow", "no class folders with files", "a, b")


def test_the_folder_one_level_down_is_suggested(tmp_path):
    make_folder(tmp_path / "project" / "photos", {"a": 3, "b": 3})
    (tmp_path / "project" / "readme.md").write_text("hello")
    bad(tmp_path / "project", f"Did you mean {tmp_path / 'project' / 'photos'}?")


@pytest.mark.parametrize("options", [{"image_size": 0}, {"image_size": 64.5}, {"seed": -1}, {"per_class": 0}])
def test_impossible_numbers_are_clear_errors(tmp_path, options):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5})
    bad(root, f"{next(iter(options))}=", "whole number", **options)


def test_more_than_there_is_names_the_largest_possible(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 20})
    bad(root, "largest class has 16", "Choose 8 or fewer", per_class=17, image_size=16)
    task = quiet(root, per_class=9, image_size=16)
    assert np.bincount(task.train.y).tolist() == [8, 9] and "a (8)" in task.notice


# --- folders: size and cache ---


def test_large_sets_are_mapped_in_the_order_of_the_split(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 20, "b": 20})
    plain = quiet(root)
    monkeypatch.setattr(caching, "LARGE", 1_000)
    mapped = quiet(root)
    for split in ("train", "test"):
        x = getattr(mapped, split).x
        assert isinstance(x, np.memmap) and np.array_equal(x, getattr(plain, split).x)
        assert np.array_equal(getattr(mapped, split).y, getattr(plain, split).y)


def test_the_second_load_decodes_nothing_and_a_change_is_seen(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    first = quiet(root, image_size=16)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_picture", lambda *a: pytest.fail("decoded again"))
        assert np.array_equal(quiet(root, image_size=16).train.x, first.train.x)
    before = (root / "a" / "000.png").stat()
    photo(777).save(root / "a" / "000.png")
    os.utime(root / "a" / "000.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    both = split_bytes(quiet(root, image_size=16).train) | split_bytes(quiet(root, image_size=16).test)
    assert len(both - split_bytes(first.train) - split_bytes(first.test)) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "junk", "gone"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    first = quiet(root, image_size=16)
    (entry,) = (tmp_path / "cache" / "tasks").glob("pictures-*/x.npy")
    raw = bytearray(entry.read_bytes())
    raw[-10] ^= 255
    contents = {"cut": raw[: len(raw) // 2], "flip": raw, "junk": b"x" * 50}
    entry.write_bytes(contents[damage]) if damage != "gone" else entry.unlink()
    again = quiet(root, image_size=16)
    assert np.array_equal(again.train.x, first.train.x) and np.array_equal(again.test.x, first.test.x)
    assert not list((tmp_path / "cache" / "tasks").glob("making-*"))


def test_an_interrupted_load_leaves_nothing_behind(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_read_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            task_from_folder(root)
    assert not any((tmp_path / "cache" / "tasks").iterdir())
    assert len(quiet(root).train) == 10


# --- tables ---


def table(path, rows, header="text,label", encoding="utf-8"):
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    return path


ROWS = [f"message number {k},{'spam' if k % 2 else 'ham'}" for k in range(40)]


def quiet_csv(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return task_from_csv(path, **options)


def test_a_table_is_a_task(tmp_path):
    path = table(tmp_path / "mail.csv", ROWS)
    a, b = quiet_csv(path), quiet_csv(path, seed=3, per_class=2)
    assert a.name == "mail" and a.classes == ["ham", "spam"] and not a.photographs
    assert np.bincount(a.train.y).tolist() == [16, 16] and np.bincount(a.test.y).tolist() == [4, 4]
    assert a.test.x.tolist() == b.test.x.tolist() and set(b.train.x) < set(a.train.x)
    for text, y in zip(a.train.x, a.train.y, strict=True):
        assert f"{text},{a.classes[y]}" in ROWS


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings_are_told_from_the_file(tmp_path, sign, encoding):
    rows = [f'"café {k}{sign} crème"{sign}{"ab"[k % 2]}' for k in range(20)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, f"text{sign}label", encoding))
    assert task.classes == ["a", "b"] and f"café 3{sign} crème" in {*task.train.x, *task.test.x}
    assert ("Windows-1252" in task.notice) == (encoding == "cp1252")


def test_groups_and_equal_texts_stay_on_one_side(tmp_path):
    rows = [f"thread {k // 4} says {k % 4},{'ab'[k // 4 % 2]},t{k // 4}" for k in range(160)]
    rows += [f"  Thanks,{'ab'[k % 2]},u{k}" for k in range(6)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, "text,label,thread"), text="text", group="thread")
    threads = [{" ".join(x.split()[:2]) for x in split.x} for split in (task.train, task.test)]
    assert not threads[0] & threads[1]
    assert all(14 <= n <= 20 for n in np.bincount(task.test.y))


def test_rows_without_text_or_label_are_left_out_in_one_warning(tmp_path):
    path = table(tmp_path / "t.csv", [*ROWS, ",spam", "no label,", "  ,ham"])
    with pytest.warns(UserWarning) as caught:
        task = task_from_csv(path)
    assert [str(w.message) for w in caught] == ["3 rows have no text or no label and are left out: line 42, 43, 44."]
    assert len(task.train) + len(task.test) == 40


def test_a_label_of_one_row_is_named(tmp_path):
    with pytest.warns(UserWarning, match="stays unknown: label rare"):
        task = task_from_csv(table(tmp_path / "t.csv", [*ROWS, "once,rare"]))
    assert task.classes[1] == "rare" and 1 in task.train.y and 1 not in task.test.y


def test_without_a_name_the_longest_column_holds_the_texts(tmp_path):
    rows = [f"{k},a long message number {k},{'ab'[k % 2]}" for k in range(20)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, "id,body,label"))
    assert task.train.x[0].startswith("a long") and "'body'" in task.notice


def test_long_texts_and_quoted_lines_are_whole(tmp_path):
    rows = [f'"line one {k}\nsaid ""yes"" {"x" * 200_000}",{"ab"[k % 2]}' for k in range(6)]
    task = quiet_csv(table(tmp_path / "t.csv", rows))
    assert len(task.train) + len(task.test) == 6
    assert all('\nsaid "yes" ' in x and len(x) > 200_000 for x in task.train.x)


@pytest.mark.parametrize(
    ("rows", "header", "options", "parts"),
    [
        (ROWS, "text,lable", {}, ["no column 'label'", "text, lable", "label='lable'"]),
        (ROWS, "text,label", {"text": "txt"}, ["no column 'txt'", "text='text'"]),
        (ROWS, "text,label", {"group": "user"}, ["no column 'user'"]),
        ([f"a{k},same" for k in range(9)], "text,label", {}, ["only the value 'same'"]),
        ([], "text,label", {}, ["no values"]),
        ([f"a{k},free text {k}" for k in range(90)], "text,label", {}, ["90 different values in 90 rows"]),
        ([*ROWS, "one,two,three"], "text,label", {}, ["Line 42", "3 columns", "quotes"]),
        ([*ROWS, '"never closed,ham'], "text,label", {}, ["Line 42", "cannot be split"]),
        (["a", "b"], "label", {}, ["no column of texts"]),
        (ROWS, "text,label", {"per_class": 99}, ["largest class has 16"]),
    ],
)
def test_impossible_tables_are_clear_errors(tmp_path, rows, header, options, parts):
    with pytest.raises(BadData) as caught:
        task_from_csv(table(tmp_path / "t.csv", rows, header), **options)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    for part in parts:
        assert part in message, message


def test_files_that_are_no_tables_are_clear_errors(tmp_path):
    table(tmp_path / "tickets.csv", ROWS)
    (tmp_path / "empty.csv").write_text("\n")
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\x03\x04" + bytes(50))
    for name, part in (("ticket.csv", "Did you mean tickets.csv"), ("empty.csv", "is empty")):
        with pytest.raises(BadData, match=part):
            task_from_csv(tmp_path / name)
    with pytest.raises(BadData, match="Excel"):
        task_from_csv(tmp_path / "sheet.xlsx")
    with pytest.raises(BadData, match="is a folder"):
        task_from_csv(tmp_path)
