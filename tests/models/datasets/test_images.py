"""The one decoder: what it accepts, how it turns it upright and RGB, what it refuses."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.datasets.images import (
    ImageLimits,
    InvalidImage,
    decode_image,
    decode_with_size,
    to_jpeg,
)

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def half_red() -> Image.Image:
    """32 × 16, left half red, right half blue."""
    image = Image.new("RGB", (32, 16), "blue")
    image.paste((255, 0, 0), (0, 0, 16, 16))
    return image


def pixel(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    """The bands of an image that has several."""
    bands = image.getpixel(place)
    assert isinstance(bands, tuple)
    return bands


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_decodes_to_rgb(kind: str) -> None:
    decoded = decode_image(encoded(half_red(), kind), LIMITS)
    assert (decoded.mode, decoded.size) == ("RGB", (32, 16))
    red, _, blue = pixel(decoded, (4, 8))
    assert red > 200
    assert blue < 60


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    source = half_red().convert("L") if mode == "I;16" else half_red()
    assert decode_image(encoded(source.convert(mode), kind), LIMITS).mode == "RGB"


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    image = Image.new("I;16", (16, 16), 32768)
    assert abs(pixel(decode_image(encoded(image, "PNG"), LIMITS), (8, 8))[0] - 128) <= 1


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert pixel(decode_image(encoded(clear), LIMITS), (8, 8)) == (255, 255, 255)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    decoded = decode_image(encoded(half_red(), "JPEG", exif=exif), LIMITS)
    assert decoded.size == (16, 32)
    assert pixel(decoded, (8, 4))[0] > 200  # what was left is now on top


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data, LIMITS).getpixel((8, 8)) == (255, 0, 0)


def test_a_large_jpeg_is_decoded_at_a_fraction_but_never_below_twice_the_target() -> None:
    data = encoded(Image.new("RGB", (800, 800), "red"), "JPEG")
    assert decode_image(data, LIMITS, target_px=100).size == (200, 200)


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises more than a machine can hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT")


def oddly_animated() -> bytes:
    """A sound picture that claims to be an animation of no frames; Pillow warns of it."""
    sound = encoded(half_red(), "PNG")
    after_header = sound.index(b"IDAT") - 4
    return sound[:after_header] + png_chunk(b"acTL", bytes(8)) + sound[after_header:]


def test_odd_metadata_in_a_sound_picture_is_no_fault_on_any_thread() -> None:
    """Whatever decodes side by side, the process hears of other warnings as before."""
    before = list(warnings.filters)
    data = oddly_animated()
    with ThreadPoolExecutor(8) as threads:
        decoded = list(threads.map(lambda _: decode_image(data, LIMITS).size, range(400)))
    assert set(decoded) == {(32, 16)}
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 1_000_001, "too_many_bytes"),
        (b"just some text", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (png_claiming(50_000, 50_000), "too_many_pixels"),
        (encoded(Image.new("RGB", (4, 400))), "too_small"),
        (encoded(Image.new("1", (8, 900))), "too_long"),
        (encoded(Image.new("1", (900, 8))), "too_long"),
        (encoded(half_red(), "PNG")[:60], "damaged"),
        (encoded(Image.effect_noise((200, 200), 90).convert("RGB"), "JPEG")[:3000], "damaged"),
    ],
)
def test_what_is_refused_and_why(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidImage) as refused:
        decode_image(data, LIMITS)
    assert refused.value.reason == reason


def test_long_pictures_are_taken_up_to_a_limit_that_is_told() -> None:
    assert decode_image(encoded(Image.new("1", (1600, 16))), LIMITS).size == (1600, 16)
    with pytest.raises(
        InvalidImage, match=r"1601 × 16 pixels; the longer side may have at most 100"
    ):
        decode_image(encoded(Image.new("1", (1601, 16))), LIMITS)


@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_no_bytes_raise_anything_else(tail: bytes, head: bytes) -> None:
    try:
        decoded = decode_image(head + tail, LIMITS)
    except InvalidImage:
        return
    assert decoded.mode == "RGB"


@given(st.data())
def test_damage_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    sound = bytearray(encoded(half_red(), "JPEG"))
    for _ in range(4):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode_image(bytes(sound), LIMITS).mode == "RGB"
    except InvalidImage:
        return


def test_copies_keep_their_shape_and_lose_their_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    picture = decode_image(encoded(Image.new("RGB", (400, 200)), "JPEG", exif=exif), LIMITS)
    with Image.open(io.BytesIO(to_jpeg(picture, 100))) as copy:
        assert copy.size == (100, 50)
        assert not copy.getexif()


@given(st.integers(8, 30), st.floats(1, 100), st.integers(16, 1200), st.booleans())
def test_every_copy_of_a_picture_that_is_accepted_is_accepted(
    short: int, elongation: float, max_side_px: int, upright: bool
) -> None:
    size = (short, int(short * elongation))
    picture = decode_image(encoded(Image.new("RGB", size if upright else size[::-1])), LIMITS)
    copy = decode_image(to_jpeg(picture, max_side_px), LIMITS)
    assert max(copy.size) <= max_side_px


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("kind", "fraction"), [("JPEG", 4), ("PNG", 1), ("TIFF", 1)])
def test_the_size_of_a_picture_is_told_upright_and_whole_however_it_is_decoded(
    kind: str, fraction: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.new("RGB", (1200, 800)), kind, exif=exif)
    picture, size = decode_with_size(data, ImageLimits(), target_px=100)
    across, down = (800, 1200) if orientation == 6 else (1200, 800)
    assert size == (across, down)
    assert picture.size == (across // fraction, down // fraction)
