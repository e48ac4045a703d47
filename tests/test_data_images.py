"""Pictures: which of them are the same, and how files of any kind are read."""

import numpy as np
import pytest
from machines import photo
from PIL import Image

from course_utils.data import images
from course_utils.data.images import matches, read_picture, thumbnails, to_rgb, to_square

# --- which pictures are the same ---


def noisy(count, side, seed=0):
    """Smooth random pictures, each unlike the others, as photographs are."""
    rng = np.random.default_rng(seed)
    out = [Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)).resize((side, side), 3) for _ in range(count)]
    return np.stack([np.asarray(one).transpose(2, 0, 1) for one in out])


@pytest.mark.parametrize("side", [25, 32, 48, 100])
def test_copies_of_any_size_brightness_and_contrast_match(side):
    big, rng = noisy(30, 64), np.random.default_rng(1)
    copies = [Image.fromarray(one.transpose(1, 2, 0)).resize((side, side), 3) for one in big]
    other = np.stack([np.asarray(c).transpose(2, 0, 1) for c in copies]) * 0.5 + 40 + rng.normal(0, 4, (30, 1, 1, 1))
    found = matches(thumbnails(big), thumbnails(other.astype(np.uint8)))
    assert {(i, j) for i, j, _ in found} == {(k, k) for k in range(30)} and min(r for *_, r in found) > 0.97


def test_thumbnails_are_area_means_with_mean_0_and_length_1():
    x = noisy(3, 64)
    grey = x.astype(float).transpose(0, 2, 3, 1) @ [0.299, 0.587, 0.114]
    want = grey.reshape(3, 16, 4, 16, 4).mean((2, 4)).reshape(3, -1)
    want -= want.mean(1, keepdims=True)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    assert np.abs(thumbnails(x) - want).max() < 1e-4 and thumbnails(x).dtype == np.float32
    tiny = thumbnails(np.random.default_rng(0).integers(0, 256, (5, 3, 8, 11), np.uint8))
    assert np.allclose(np.linalg.norm(tiny, axis=1), 1, atol=1e-5)


def test_flat_pictures_match_nothing():
    flat = np.full((4, 3, 32, 32), 120, np.uint8)
    flat[1, :, :, 16:] = 122  # a step too faint to see
    assert matches(thumbnails(flat), thumbnails(flat)) == []


def test_blocks_change_nothing_and_a_limit_stops_the_search(monkeypatch):
    a = thumbnails(noisy(40, 32))
    b = np.concatenate([a] * 5)
    all_of_them = matches(a, b)
    monkeypatch.setattr(images, "BLOCK", 3 * len(b))
    in_blocks = matches(a, b)
    assert len(all_of_them) == 200 and [m[:2] for m in in_blocks] == [m[:2] for m in all_of_them]
    assert np.allclose([r for *_, r in in_blocks], [r for *_, r in all_of_them], atol=1e-5)
    assert matches(a, b, limit=50) == in_blocks[:60]  # three pictures a block, five matches each


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


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pillow_s_own_limit_stays_on(tmp_path):
    width = Image.MAX_IMAGE_PIXELS // 100 + 1
    Image.new("1", (width, 101)).save(tmp_path / "huge.png")
    with pytest.raises(Image.DecompressionBombError):
        read_picture(tmp_path / "huge.png", 16)
