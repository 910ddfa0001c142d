"""Scene → picture: puts the drawings of `artwork.py` together and rasterises them with resvg."""

import colorsys
import io
import random
import re
from dataclasses import dataclass
from functools import partial

import resvg_py
from PIL import Image

from indexer.demo import artwork
from indexer.demo.artwork import finished, overlay
from indexer.demo.scene import Item, Scene

_PAINTED = re.compile(r'<[^<>]*fill="\{paint\}"[^<>]*/>')
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture

CANVAS = 144  # the drawings' coordinate system; pictures of any size are rendered from it


def render_scene(scene: Scene, size_px: int = CANVAS) -> Image.Image:
    """Draw a scene.

    Args:
        scene: What to draw. The same scene always gives the same picture.
        size_px: Width and height of the square picture.

    Returns:
        An RGB image.
    """
    png = resvg_py.svg_to_bytes(
        svg_string=scene_svg(scene), skip_system_fonts=True, width=size_px, height=size_px
    )
    return Image.open(io.BytesIO(png)).convert("RGB")


def scene_svg(scene: Scene) -> str:
    """The scene as an SVG document; `scene.seed` decides scale, position, shade and scenery."""
    backdrop, figures = _compose(scene)
    definitions = "".join(figure.definitions for figure in figures)
    drawings = "".join(figure.drawing for figure in figures)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{CANVAS}" height="{CANVAS}" '
        f'viewBox="0 0 {CANVAS} {CANVAS}"><defs>{definitions}</defs>{backdrop}{drawings}</svg>'
    )


def item_boxes(scene: Scene) -> list[Box]:
    """Where each item of the scene is drawn, in the order of `scene.items`."""
    return [figure.box for figure in _compose(scene)[1]]


@dataclass(frozen=True)
class _Figure:
    definitions: str
    drawing: str
    box: Box


def _compose(scene: Scene) -> tuple[str, list[_Figure]]:
    """The backdrop's SVG, and the placed items."""
    rng = random.Random(scene.seed)
    backdrop = artwork.BACKDROPS[scene.setting](rng)
    alone = len(scene.items) == 1
    figures = []
    for index, item in enumerate(scene.items):
        scale = rng.uniform(0.84, 1.08) if alone else rng.uniform(0.6, 0.72)
        centre = rng.uniform(58, 86) if alone else (36, 108)[index] + rng.uniform(-4, 4)
        ground = rng.uniform(112, 128)
        definitions, drawing = _item_svg(item, index, rng)
        mirror = rng.choice((-1, 1))
        placed = (
            f'<ellipse cx="{centre:.1f}" cy="{ground:.1f}" rx="{46 * scale:.1f}" '
            f'ry="{7 * scale:.1f}" fill="#000" fill-opacity=".22"/>'
            f'<g transform="translate({centre:.1f},{ground:.1f}) '
            f"rotate({rng.uniform(-5, 5):.1f}) scale({mirror * scale:.3f},{scale:.3f}) "
            f'translate(-50,-95)" stroke-width="1.6" stroke-linejoin="round">{drawing}</g>'
        )
        # drawings fill 90 of the 100 units of their own square and stand at 95
        edges = (
            centre - 45 * scale, ground - 90 * scale, centre + 45 * scale, ground,
        )  # fmt: skip
        left, top, right, bottom = (round(min(max(e / CANVAS, 0), 1), 3) for e in edges)
        figures.append(_Figure(definitions, placed, (left, top, right, bottom)))
    return backdrop, figures


def _item_svg(item: Item, index: int, rng: random.Random) -> tuple[str, str]:
    """The definitions an item's paint needs, and the item's drawing."""
    base = _shade(artwork.PALETTE[item.colour], rng.uniform(-0.05, 0.05))
    second = artwork.SECOND_TONE.get(item.colour, artwork.LIGHT_TONE)
    definitions, paints = _paints(item.pattern, f"p{index}", base, second, rng)
    bands, fills = overlay(item.finish, f"o{index}")
    template = artwork.OBJECTS[item.kind]
    for fill in [*fills, *paints[1:]]:  # each goes right on the paint, under those before it
        template = _PAINTED.sub(partial(_painted_over, fill), template)
    drawing = template.format(
        paint=paints[0],
        base=base,
        edge=_shade(base, -0.16 if item.colour != "black" else 0.22),
        tint=_shade(base, 0.1),
        lace="#ffffff" if item.colour != "white" else "#4d5a6b",
        wood=artwork.WOOD, metal=artwork.METAL, glass=artwork.GLASS,
        gold=artwork.GOLD, leaf=artwork.LEAF,
    )  # fmt: skip
    halo, drawing = finished(item.finish, f"f{index}", drawing)
    return definitions + bands + halo, drawing


def _painted_over(overlay: str, tag: re.Match[str]) -> str:
    """A painted element, and once more on top of itself with another fill."""
    return tag[0] + tag[0].format(paint=overlay, edge="none")


def _paints(
    pattern: str, name: str, base: str, second: str, rng: random.Random
) -> tuple[str, list[str]]:
    """SVG definitions of a pattern, and the fills to lay over each other to paint it.

    Stripes are repeating gradients: resvg draws them four times faster than pattern tiles.
    """
    step = rng.uniform(10, 14)
    angle = rng.choice((0, 30, 90, 150)) if pattern == "striped" else 0
    if pattern == "plain":
        return "", [base]
    if pattern == "striped":
        return _stripes(name, step, angle, (second, 1), (base, 1)), [f"url(#{name})"]
    if pattern == "checked":
        definitions = _stripes(name, step, 0, (second, 0.5), (second, 0)) + _stripes(
            f"{name}b", step, 90, (second, 0.5), (second, 0)
        )
        return definitions, [base, f"url(#{name})", f"url(#{name}b)"]
    half = step / 2
    return (
        f'<pattern id="{name}" width="{step:.1f}" height="{step:.1f}" '
        f'patternUnits="userSpaceOnUse"><circle cx="{half:.1f}" cy="{half:.1f}" '
        f'r="{step * 0.25:.1f}" fill="{second}"/></pattern>'
    ), [base, f"url(#{name})"]


def _stripes(
    name: str, step: float, angle: int, bar: tuple[str, float], gap: tuple[str, float]
) -> str:
    """A hard-edged repeating gradient: `bar` and `gap` are (colour, opacity)."""
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{colour}" stop-opacity="{opacity}"/>'
        for offset, (colour, opacity) in ((0, bar), (0.38, bar), (0.38, gap), (1, gap))
    )
    return (
        f'<linearGradient id="{name}" gradientUnits="userSpaceOnUse" spreadMethod="repeat" '
        f'x2="{step:.1f}" gradientTransform="rotate({angle})">{stops}</linearGradient>'
    )


def _shade(colour: str, delta: float) -> str:
    """Lighten (positive) or darken (negative) a `#rrggbb` colour by `delta` of HLS lightness."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    rgb = colorsys.hls_to_rgb(hue, min(1.0, max(0.0, lightness + delta)), saturation)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in rgb)
