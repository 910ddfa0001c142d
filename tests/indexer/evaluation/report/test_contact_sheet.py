"""Contact sheets, pixel by pixel: frames say what is right, and no picture or text breaks them."""

import pytest
from PIL import Image, ImageColor, ImageFont

from indexer.evaluation.report.contact_sheet import (
    MISSING,
    RIGHT,
    THUMBNAIL_PX,
    WRONG,
    Thumbnails,
    contact_sheet,
    wrap,
)
from indexer.evaluation.report.examples import Example, ShownResult
from tests.indexer.evaluation.finished import picture, query


def pixels(sheet: Image.Image, colour: str) -> int:
    return sum(
        count
        for count, pixel in sheet.getcolors(sheet.width * sheet.height) or []
        if pixel == ImageColor.getrgb(colour)
    )


def example(*rights: bool, missing: ShownResult | None = None, text: str = "in red") -> Example:
    shown = [ShownResult("right-1" if r else "wrong-0", i, r) for i, r in enumerate(rights, 1)]
    return Example(query(1, text=text), 0.5, tuple(shown), missing)


def test_right_answers_are_framed_in_another_colour_than_wrong_ones() -> None:
    thumbnails = Thumbnails(picture)
    sheet = contact_sheet("title", [example(True, False, False)], thumbnails)
    assert len({RIGHT, WRONG, MISSING}) == 3
    assert pixels(sheet, RIGHT) > 4 * THUMBNAIL_PX
    assert pixels(sheet, WRONG) == 2 * pixels(sheet, RIGHT)
    assert pixels(sheet, MISSING) == 0
    assert pixels(contact_sheet("title", [example(False)], thumbnails), RIGHT) == 0


def test_a_missing_right_answer_stands_at_the_end() -> None:
    missing = ShownResult("right-1", 12, is_right=True)
    sheet = contact_sheet("title", [example(False, False, missing=missing)], Thumbnails(picture))
    columns = [
        x for x in range(sheet.width)
        if any(sheet.getpixel((x, y)) == ImageColor.getrgb(MISSING) for y in range(sheet.height))
    ]  # fmt: skip
    assert min(columns) > sheet.width - 2 * THUMBNAIL_PX
    assert pixels(sheet, RIGHT) == 0


def test_an_image_without_a_picture_is_a_box() -> None:
    thumbnails = Thumbnails(lambda image_id: None)
    box = thumbnails("an-id-that-is-much-longer-than-a-thumbnail-is-wide" * 9)
    assert box.size == (THUMBNAIL_PX, THUMBNAIL_PX)
    assert contact_sheet("title", [example(True, False)], thumbnails).width > 4 * THUMBNAIL_PX


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "1"])
@pytest.mark.parametrize("size", [(1, 1), (2000, 10), (64, 64)])
def test_any_picture_has_a_thumbnail(mode: str, size: tuple[int, int]) -> None:
    thumbnail = Thumbnails(lambda _: Image.new(mode, size))("any")
    assert (thumbnail.mode, thumbnail.size) == ("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))


def test_every_picture_is_asked_for_once() -> None:
    asked: list[str] = []
    thumbnails = Thumbnails(lambda image_id: asked.append(image_id))
    for _ in range(3):
        thumbnails("wrong-0")
    assert asked == ["wrong-0"]


@pytest.mark.parametrize(
    "text", ["", "red", "very " * 300 + "long", "長い" * 400, "größer, зелёное 👗 x" * 20, "a\n\tb"]
)
def test_text_is_wrapped_to_its_width_and_its_lines(text: str) -> None:
    font = ImageFont.load_default(15)
    assert isinstance(font, ImageFont.FreeTypeFont)
    lines = wrap(text, 200, 5, font)
    assert len(lines) <= 5
    assert all(font.getlength(line) <= 200 for line in lines)
    whole = "".join("".join(lines).split())
    cut = whole.endswith("…")
    assert "".join(text.split()).startswith(whole.removesuffix("…"))
    assert cut or whole == "".join(text.split())
    assert contact_sheet("title", [example(True, text=text)], Thumbnails(picture))
