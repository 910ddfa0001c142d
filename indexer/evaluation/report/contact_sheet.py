"""Contact sheets: queries as rows of pictures, drawn with Pillow."""

import io
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, ImageOps

from indexer.evaluation.report.examples import Example, ShownResult
from models.metrics.plotting import GREEN, INK, ORANGE

ImageOf = Callable[[str], Image.Image | None]
THUMBNAIL_PX = 128
RIGHT, MISSING, WRONG = GREEN, ORANGE, "#d0d5dd"  # frames; the first two are the plots' colours
_SOFT, _PAPER, _BOX = "#667085", "#ffffff", "#e3e7ee"
_FRAME_PX, _GAP_PX, _LABEL_PX, _TITLE_PX, _TEXT_PX = 5, 10, 18, 40, 230
_CELL_PX = THUMBNAIL_PX + 2 * _FRAME_PX
_ROW_PX = _CELL_PX + _LABEL_PX + _GAP_PX
_TEXT_LINES, _LINE_PX = 5, 20
_JPEG_QUALITY = 88


class Thumbnails:
    """Square thumbnails by image id, each made once; a grey box with the id without a picture."""

    def __init__(self, image_of: ImageOf) -> None:
        self._image_of = image_of
        self._made: dict[str, Image.Image] = {}

    def __call__(self, image_id: str) -> Image.Image:
        """An RGB image of `THUMBNAIL_PX` × `THUMBNAIL_PX` pixels, the picture whole inside."""
        if image_id not in self._made:
            picture = self._image_of(image_id)
            self._made[image_id] = _box(image_id) if picture is None else _fitted(picture)
        return self._made[image_id]


def contact_sheet(title: str, examples: Sequence[Example], thumbnails: Thumbnails) -> Image.Image:
    """One row per query: reference, modification text, results, and a right answer they lack.

    Right answers among the results are framed in `RIGHT`, other results in `WRONG`; the missing
    right answer stands apart at the end, framed in `MISSING`, with the rank it has.

    Args:
        title: Printed on top.
        examples: The queries; at least one.
        thumbnails: Pictures by image id.

    Returns:
        RGB image.
    """
    ranks = max(len(example.shown) for example in examples)
    width = 4 * _GAP_PX + _TEXT_PX + (ranks + 2) * (_CELL_PX + _GAP_PX)
    sheet = Image.new("RGB", (width, _TITLE_PX + len(examples) * _ROW_PX), _PAPER)
    ImageDraw.Draw(sheet).text((_GAP_PX, _GAP_PX), title, fill=INK, font=_font(15))
    for number, example in enumerate(examples):
        top = _TITLE_PX + number * _ROW_PX
        _draw_question(sheet, example, thumbnails, top)
        left = 3 * _GAP_PX + _CELL_PX + _TEXT_PX
        for shown in example.shown:
            frame = RIGHT if shown.is_right else WRONG
            _draw_cell(sheet, thumbnails(shown.image_id), (left, top), frame, f"{shown.rank}")
            left += _CELL_PX + _GAP_PX
        if example.missing:
            corner = (width - _GAP_PX - _CELL_PX, top)
            picture, label = thumbnails(example.missing.image_id), missing_label(example.missing)
            _draw_cell(sheet, picture, corner, MISSING, label)
    return sheet


def missing_label(missing: ShownResult) -> str:
    """Where the right answer is that the first results lack."""
    return f"right: rank {missing.rank}" if missing.rank else "right: not found"


def jpeg(image: Image.Image) -> bytes:
    """The image as a JPEG file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def wrap(text: str, width_px: int, lines: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Text in lines that fit the width; the last one ends in `…` if text is left over.

    Breaks between words, and inside a word that no line can hold: scripts without spaces.
    """
    rest, wrapped = " ".join(text.split()), list[str]()
    while rest and len(wrapped) < lines:
        most = range(1, len(rest) + 1)
        fits = max(1, bisect_right(most, float(width_px), key=lambda n: font.getlength(rest[:n])))
        if fits < len(rest):
            fits = max(rest.rfind(" ", 0, fits + 1), 0) or fits
        wrapped.append(rest[:fits])
        rest = rest[fits:].lstrip()
    while rest and wrapped[-1] and font.getlength(wrapped[-1] + "…") > width_px:
        wrapped[-1] = wrapped[-1][:-1]
    return [*wrapped[:-1], wrapped[-1] + "…"] if rest else wrapped


def _draw_question(sheet: Image.Image, example: Example, pictures: Thumbnails, top: int) -> None:
    query = example.query
    _draw_cell(sheet, pictures(query.reference_id), (_GAP_PX, top), _PAPER, "reference")
    draw = ImageDraw.Draw(sheet)
    left, font = 2 * _GAP_PX + _CELL_PX, _font(15)
    for line in wrap(query.text, _TEXT_PX, _TEXT_LINES, font):
        draw.text((left, top), line, fill=INK, font=font)
        top += _LINE_PX
    said = f"{query.query_id} · {example.value:.3f}"
    kinds = ", ".join(query.kinds)
    for line in [*wrap(said, _TEXT_PX, 1, _font(12)), *wrap(kinds, _TEXT_PX, 1, _font(12))]:
        draw.text((left, top + 4), line, fill=_SOFT, font=_font(12))
        top += 16


def _draw_cell(
    sheet: Image.Image, picture: Image.Image, corner: tuple[int, int], frame: str, label: str
) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _CELL_PX - 1, top + _CELL_PX - 1), fill=frame)
    sheet.paste(picture, (left + _FRAME_PX, top + _FRAME_PX))
    middle = left + _CELL_PX // 2
    draw.text((middle, top + _CELL_PX + 2), label, fill=_SOFT, font=_font(12), anchor="ma")


def _fitted(picture: Image.Image) -> Image.Image:
    thumbnail = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX), _PAPER)
    fitted = ImageOps.contain(picture.convert("RGBA"), thumbnail.size)
    left, top = (THUMBNAIL_PX - fitted.width) // 2, (THUMBNAIL_PX - fitted.height) // 2
    thumbnail.paste(fitted, (left, top), fitted)
    return thumbnail


def _box(image_id: str) -> Image.Image:
    box = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX), _BOX)
    draw = ImageDraw.Draw(box)
    for number, line in enumerate(wrap(image_id, THUMBNAIL_PX - 12, 7, _font(12))):
        draw.text((6, 6 + 16 * number), line, fill=_SOFT, font=_font(12))
    return box


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as the plots have it: Pillow's own font has no letter beyond ASCII."""
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size_px)
