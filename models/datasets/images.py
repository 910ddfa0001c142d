"""Bytes → upright RGB picture: the one decoder for uploads, gallery files and candidates.

Everything that can be wrong with an image file becomes an `InvalidImage` with a sentence.
"""

import io
import math
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MIN_SIDE_PX = 8
MAX_ELONGATION = 100  # encoders scale the shorter side up to theirs, and the longer one with it

_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and those that swap the sides

# Pillow warns of odd metadata in sound pictures. Once for the process: `catch_warnings` around a
# decode would change and restore the filters of all threads at once.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# Our own limit is checked before any pixel is decoded and is stricter; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None


class InvalidImage(ValueError):
    """The bytes are not an image we accept.

    Attributes:
        reason: A stable word: `empty`, `too_many_bytes`, `not_an_image`, `too_many_pixels`,
            `too_small`, `too_long` or `damaged`.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class ImageLimits:
    """What is refused.

    Attributes:
        max_bytes: The most bytes of a file.
        max_pixels: The most pixels of a picture, width × height.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 60_000_000


def decode_image(data: bytes, limits: ImageLimits, target_px: int | None = None) -> Image.Image:
    """Decode one image: first frame, upright (EXIF), RGB, transparency on white.

    Args:
        data: The file's bytes. What they are is read from themselves; names and content types lie.
        limits: What to refuse.
        target_px: The longest side the caller needs. Large JPEGs are then decoded at a fraction of
            their size, never below twice the target, which leaves embeddings as they were.

    Raises:
        InvalidImage: Empty, too large, too small, too long for its width or height, not an image,
            or damaged.
    """
    return decode_with_size(data, limits, target_px)[0]


def decode_with_size(
    data: bytes, limits: ImageLimits, target_px: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """As `decode_image`, with the width and height that the upright picture has in its file."""
    if not data:
        raise InvalidImage("empty", "the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise InvalidImage(
            "too_many_bytes",
            f"the image has {len(data):,} bytes, more than the limit of {limits.max_bytes:,}",
        )
    try:
        return _decode(data, limits, target_px)
    except InvalidImage:
        raise
    except UnidentifiedImageError:
        raise InvalidImage(
            "not_an_image", f"the bytes are not an image; accepted are {', '.join(FORMATS)}"
        ) from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged input
        raise InvalidImage("damaged", f"the image is damaged: {error}") from error


def _decode(
    data: bytes, limits: ImageLimits, target_px: int | None
) -> tuple[Image.Image, tuple[int, int]]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        _check_size(width, height, limits)
        if target_px is not None:
            image.draft("RGB", (2 * target_px, 2 * target_px))
        image.load()  # a TIFF turns itself upright here, and has no orientation any more
        turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright), (height, width) if turned else (width, height)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Refuse what would be too much, or too little, before any pixel is decoded."""
    has = f"the image has {width} × {height} pixels"
    if width * height > limits.max_pixels:
        raise InvalidImage(
            "too_many_pixels", f"{has}, more than the limit of {limits.max_pixels:,} in all"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise InvalidImage("too_small", f"{has}; each side needs at least {MIN_SIDE_PX}")
    if max(width, height) > MAX_ELONGATION * min(width, height):
        raise InvalidImage(
            "too_long",
            f"{has}; the longer side may have at most {MAX_ELONGATION} times the shorter one's",
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit grey to 255 instead of scaling it
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    return image.convert("RGB")


def to_jpeg(image: Image.Image, max_side_px: int, quality: int = 90) -> bytes:
    """A copy whose longer side is at most `max_side_px`, as JPEG without metadata.

    The sides keep their ratio, except where the shorter one would be less than `decode_image`
    accepts.
    """
    copy = image.copy()
    copy.thumbnail((max_side_px, max_side_px), Image.Resampling.BICUBIC)
    least = max(MIN_SIDE_PX, math.ceil(max(copy.size) / MAX_ELONGATION))
    if min(copy.size) < least:
        size = (max(copy.width, least), max(copy.height, least))
        copy = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    copy.save(out, "JPEG", quality=quality)
    return out.getvalue()
