"""The drawings: every kind of object and every setting as a piece of SVG.

Objects live in a 100 × 100 box and stand on y = 95. `{paint}` is the item's colour or pattern,
`{edge}` a darker tone of it for outlines, `{tint}` a lighter one. Everything else about an object is
neutral (wood, metal, glass), so that colour words mean the painted part.
"""

import random

PALETTE = {
    "red": "#d3262f", "orange": "#f58220", "yellow": "#f7d21e", "green": "#2f9e44",
    "blue": "#2563d9", "purple": "#7b36b5", "pink": "#f58ab8", "brown": "#7c4a25",
    "black": "#1f1f24", "white": "#f8f8f6", "grey": "#8e9399",
}  # fmt: skip

# What stripes, dots and checks are drawn with: light on strong colours, dark on pale ones.
SECOND_TONE = {
    "yellow": "#a8720a", "pink": "#a81c5f", "white": "#4d5a6b", "grey": "#3c4148",
}  # fmt: skip
LIGHT_TONE = "#fdf6e3"

WOOD, METAL, GLASS, GOLD, LEAF = "#8a6440", "#6d747c", "#cfe6f2", "#d9a93c", "#4b8b4f"

OBJECTS = {
    "sofa": """
<g fill="{wood}"><rect x="14" y="84" width="6" height="11"/><rect x="80" y="84" width="6" height="11"/></g>
<path fill="{paint}" stroke="{edge}" d="M14 70V40Q14 28 26 28H74Q86 28 86 40V70Z"/>
<path stroke="{edge}" fill="none" d="M50 29V62"/>
<rect fill="{paint}" stroke="{edge}" x="14" y="60" width="72" height="27" rx="6"/>
<path stroke="{edge}" fill="none" d="M18 74H82M50 61V74"/>
<path fill="{paint}" stroke="{edge}" d="M2 54Q2 45 11 45T20 54V87H4Q2 87 2 84Z"/>
<path fill="{paint}" stroke="{edge}" d="M98 54Q98 45 89 45T80 54V87H96Q98 87 98 84Z"/>""",
    "chair": """
<g stroke="{wood}" stroke-width="5" stroke-linecap="round"><path d="M26 64L20 94M74 64L80 94M38 64L36 88M62 64L64 88"/></g>
<path stroke="{wood}" stroke-width="4" d="M34 48V58M66 48V58"/>
<path fill="{paint}" stroke="{edge}" d="M28 14Q28 4 38 4H62Q72 4 72 14L70 50H30Z"/>
<path fill="{paint}" stroke="{edge}" d="M26 54H74L84 64Q84 71 78 71H22Q16 71 16 64Z"/>""",
    "lamp": """
<rect fill="{metal}" x="47" y="50" width="6" height="38"/>
<path fill="{metal}" d="M28 95Q30 85 50 85T72 95Z"/>
<ellipse fill="#fff6c4" cx="50" cy="52" rx="14" ry="5"/>
<path fill="{paint}" stroke="{edge}" d="M33 6H67L86 50Q50 58 14 50Z"/>
<path stroke="{metal}" stroke-width="1.5" d="M62 53V68"/><circle fill="{gold}" cx="62" cy="69" r="2.5"/>""",
    "table": """
<g fill="{wood}"><path d="M16 50H23L21 95H15ZM84 50H77L79 95H85Z"/><path d="M32 50H37L36 84H32ZM68 50H63L64 84H68Z"/></g>
<path fill="{paint}" stroke="{edge}" d="M4 42H96L93 70Q84 62 75 70Q63 62 50 70Q37 62 25 70Q16 62 7 70Z"/>
<path fill="{paint}" stroke="{edge}" d="M18 30H82L96 43H4Z"/>""",
    "cushion": """
<path fill="{paint}" stroke="{edge}" d="M10 28Q8 20 18 22Q50 30 82 22Q92 20 90 28Q82 58 90 88Q92 96 82 94Q50 88 18 94Q8 96 10 88Q18 58 10 28Z"/>
<circle fill="{edge}" cx="50" cy="58" r="3.5"/>
<path stroke="{edge}" fill="none" d="M50 58L38 50M50 58L62 50M50 58L40 68M50 58L60 68"/>""",
    "dress": """
<path fill="{paint}" stroke="{edge}" d="M34 4L41 4Q50 20 59 4L66 4L68 26Q61 34 61 44L86 91Q50 101 14 91L39 44Q39 34 32 26Z"/>
<path fill="{edge}" d="M39 41H61V47H39Z"/>
<path stroke="{edge}" fill="none" d="M45 50L36 92M55 50L64 92"/>""",
    "shirt": """
<path fill="{paint}" stroke="{edge}" d="M33 10Q50 22 67 10L97 28L86 49L75 42V95H25V42L14 49L3 28Z"/>
<path stroke="{edge}" stroke-width="4" fill="none" d="M33 10Q50 24 67 10"/>
<path stroke="{edge}" fill="none" d="M25 42V30M75 42V30"/>""",
    "shoe": """
<path fill="{paint}" stroke="{edge}" d="M5 46Q3 40 10 40Q22 52 34 38L42 34Q50 56 74 61Q97 65 97 84H5Z"/>
<path fill="{tint}" stroke="{edge}" d="M34 38L42 34L48 47L40 50Z"/>
<path stroke="{lace}" stroke-width="3" stroke-linecap="round" d="M45 54L54 46M52 60L61 52M61 64L69 57"/>
<path fill="#f4f1ea" stroke="{edge}" d="M4 82H98Q99 95 90 95H12Q3 95 4 82Z"/>""",
    "hat": """
<ellipse fill="{paint}" stroke="{edge}" cx="50" cy="80" rx="48" ry="14"/>
<path fill="{paint}" stroke="{edge}" d="M24 78Q22 34 38 32Q50 40 62 32Q78 34 76 78Q50 88 24 78Z"/>
<path fill="{edge}" d="M24 66Q50 77 76 66V77Q50 88 24 77Z"/>""",
    "bag": """
<path stroke="{edge}" stroke-width="6" fill="none" d="M30 48Q30 8 50 8T70 48"/>
<path fill="{paint}" stroke="{edge}" d="M14 42H86L96 90Q96 95 90 95H10Q4 95 4 90Z"/>
<path fill="{paint}" stroke="{edge}" d="M14 42H86L88 54Q70 66 50 66T12 54Z"/>
<circle fill="{gold}" stroke="#7a5b12" cx="50" cy="66" r="5"/>""",
    "umbrella": """
<path stroke="{wood}" stroke-width="4" fill="none" stroke-linecap="round" d="M50 6V84Q50 95 60 94Q67 93 66 84"/>
<path fill="{paint}" stroke="{edge}" d="M2 56Q6 10 50 10Q94 10 98 56Q86 46 74 56Q62 46 50 56Q38 46 26 56Q14 46 2 56Z"/>
<path stroke="{edge}" fill="none" d="M50 10Q28 26 26 56M50 10Q72 26 74 56"/>""",
    "mug": """
<path stroke="{edge}" stroke-width="12" fill="none" d="M70 44Q93 42 92 60Q90 80 70 78"/>
<path stroke="{base}" stroke-width="9" fill="none" d="M70 44Q93 42 92 60Q90 80 70 78"/>
<path fill="{paint}" stroke="{edge}" d="M12 30H74V84Q74 95 62 95H24Q12 95 12 84Z"/>
<ellipse fill="#5b3a24" stroke="{edge}" stroke-width="3" cx="43" cy="30" rx="31" ry="7"/>
<path stroke="#ffffff" stroke-opacity=".75" stroke-width="3" stroke-linecap="round" fill="none" d="M34 20Q28 14 34 8M52 20Q46 14 52 8"/>""",
    "teapot": """
<path stroke="{edge}" stroke-width="8" fill="none" d="M24 46Q2 42 4 62Q6 82 26 80"/>
<path fill="{base}" stroke="{edge}" d="M74 74Q88 68 86 46L99 42Q98 84 74 88Z"/>
<ellipse fill="{paint}" stroke="{edge}" cx="50" cy="67" rx="34" ry="28"/>
<path fill="{tint}" stroke="{edge}" d="M30 44Q32 30 50 30T70 44Q50 50 30 44Z"/><circle fill="{edge}" cx="50" cy="26" r="5"/>""",
    "vase": """
<g stroke="{leaf}" stroke-width="3" fill="none"><path d="M48 26Q46 12 34 6M52 26Q54 10 66 4M50 26V4"/></g>
<g fill="{leaf}"><ellipse cx="32" cy="7" rx="7" ry="4"/><ellipse cx="68" cy="6" rx="7" ry="4"/><ellipse cx="50" cy="5" rx="4" ry="6"/></g>
<path fill="{paint}" stroke="{edge}" d="M36 22H64Q61 36 68 44Q88 58 77 82Q72 95 63 95H37Q28 95 23 82Q12 58 32 44Q39 36 36 22Z"/>
<ellipse fill="{edge}" cx="50" cy="22" rx="14" ry="3.5"/>""",
    "car": """
<path fill="{paint}" stroke="{edge}" d="M2 80V64Q4 55 16 53L30 35Q34 29 42 29H62Q70 29 75 35L87 53Q98 55 98 66V80Q98 84 94 84H6Q2 84 2 80Z"/>
<path fill="{glass}" stroke="{edge}" d="M24 53L34 39Q36 36 40 36H47V53ZM53 36H61Q66 36 69 40L78 53H53Z"/>
<circle fill="#fff2b0" stroke="{edge}" cx="94" cy="64" r="4"/>
<g><circle fill="#222428" cx="24" cy="83" r="12"/><circle fill="#c9ced4" cx="24" cy="83" r="5.5"/><circle fill="#222428" cx="76" cy="83" r="12"/><circle fill="#c9ced4" cx="76" cy="83" r="5.5"/></g>""",
    "guitar": """
<g transform="rotate(18 50 60)"><rect fill="{wood}" x="46" y="-4" width="8" height="52"/><rect fill="#3a2a1c" x="43" y="-12" width="14" height="13" rx="2"/>
<path fill="{paint}" stroke="{edge}" d="M50 38Q72 36 72 50Q72 57 67 60Q82 66 80 80Q78 97 50 97T20 80Q18 66 33 60Q28 57 28 50Q28 36 50 38Z"/>
<circle fill="#2b211a" cx="50" cy="62" r="8"/><rect fill="#3a2a1c" x="38" y="82" width="24" height="4"/>
<path stroke="#eee6d2" stroke-width="1" d="M48 0V82M52 0V82"/></g>""",
}


def _scatter(rng: random.Random, count: int, shape: str, y: tuple[float, float]) -> str:
    return "".join(
        f'<g transform="translate({rng.uniform(0, 144):.1f},{rng.uniform(*y):.1f}) '
        f'scale({rng.uniform(0.7, 1.3):.2f})">{shape}</g>'
        for _ in range(count)
    )


def _studio(rng: random.Random) -> str:
    wall, floor = rng.choice(
        [("#e9ebee", "#f6f7f8"), ("#e6e2dc", "#f4f1ec"), ("#dfe4ea", "#f0f3f6")]
    )
    return (
        f'<rect width="144" height="144" fill="{wall}"/>'
        f'<path d="M0 100Q72 88 144 100V144H0Z" fill="{floor}"/>'
    )


def _beach(rng: random.Random) -> str:
    sea = rng.uniform(56, 66)
    sun = rng.uniform(15, 130)
    return (
        '<rect width="144" height="144" fill="#9fdcf5"/>'
        f'<circle cx="{sun:.0f}" cy="20" r="11" fill="#fff3b0"/>'
        f'<rect y="{sea:.0f}" width="144" height="40" fill="#2b9cc4"/>'
        f'<path d="M0 {sea + 9:.0f}q18-5 36 0t36 0 36 0 36 0" stroke="#d8f3fb" fill="none"/>'
        '<path d="M0 92Q40 84 80 91T144 88V144H0Z" fill="#f0d9a0"/>'
        '<path d="M0 92Q40 84 80 91T144 88" stroke="#fff8e6" stroke-width="3" fill="none"/>'
        + _scatter(rng, 4, '<path d="M0 0a4 4 0 0 1 8 0z" fill="#e8a87c"/>', (112, 138))
    )


def _snow(rng: random.Random) -> str:
    peak = rng.uniform(30, 110)
    return (
        '<rect width="144" height="144" fill="#b9cfe4"/>'
        f'<path d="M{peak - 60:.0f} 92L{peak:.0f} 28L{peak + 60:.0f} 92Z" fill="#8fa6c1"/>'
        f'<path d="M{peak - 15:.0f} 44L{peak:.0f} 28L{peak + 15:.0f} 44L{peak + 5:.0f} 41L{peak:.0f} 47Z" fill="#fff"/>'
        '<path d="M0 90Q36 80 72 88T144 86V144H0Z" fill="#f4f9ff"/>'
        + _scatter(rng, 26, '<circle r="1.7" fill="#ffffff"/>', (4, 130))
    )


def _forest(rng: random.Random) -> str:
    tree = (
        '<rect x="-2.5" y="0" width="5" height="16" fill="#5a3d26"/>'
        '<path d="M0-46L16-14H9L19 4H-19L-9-14H-16Z" fill="{green}"/>'
    )
    return (
        '<rect width="144" height="144" fill="#cfe6c6"/>'
        + "".join(
            f'<g transform="translate({x + rng.uniform(-6, 6):.1f},{rng.uniform(74, 82):.1f}) '
            f'scale({rng.uniform(0.9, 1.35):.2f})">'
            f"{tree.replace('{green}', rng.choice(['#2d6a3e', '#3b7d4b', '#245a35']))}</g>"
            for x in (8, 36, 64, 92, 120, 140)
        )
        + '<path d="M0 90Q72 82 144 90V144H0Z" fill="#6f9a4d"/>'
        + _scatter(rng, 7, '<path d="M-3 0L-2-6L0 0L2-7L3 0Z" fill="#4d7a34"/>', (98, 142))
    )


def _street(rng: random.Random) -> str:
    towers, x = "", -rng.uniform(0, 12)
    while x < 144:
        width, top = rng.uniform(22, 34), rng.uniform(14, 46)
        wall = rng.choice(["#b0785f", "#c49a76", "#9aa3ad", "#a98f8a"])
        towers += f'<rect x="{x:.0f}" y="{top:.0f}" width="{width:.0f}" height="90" fill="{wall}"/>'
        towers += "".join(
            f'<rect x="{x + dx:.0f}" y="{y:.0f}" width="5" height="7" fill="#eef3f7"/>'
            for dx in (4, width - 10)
            for y in range(int(top) + 6, 84, 15)
        )
        x += width
    return (
        f'<rect width="144" height="144" fill="#d9e4ec"/>{towers}'
        '<rect y="88" width="144" height="10" fill="#c3c3be"/>'
        '<rect y="98" width="144" height="46" fill="#5c6066"/>'
        '<path d="M0 128H144" stroke="#f2e9c8" stroke-width="3" stroke-dasharray="16 12"/>'
    )


def _night(rng: random.Random) -> str:
    moon = rng.uniform(20, 124)
    return (
        '<rect width="144" height="144" fill="#141a3c"/>'
        + _scatter(rng, 22, '<circle r="1.2" fill="#fdf7d0"/>', (2, 80))
        + f'<circle cx="{moon:.0f}" cy="22" r="12" fill="#f6edbe"/>'
        f'<circle cx="{moon + 6:.0f}" cy="18" r="10" fill="#141a3c"/>'
        '<path d="M0 92Q30 78 70 90T144 84V144H0Z" fill="#2a3560"/>'
    )


def _room(rng: random.Random) -> str:
    wall = rng.choice(["#efe0c8", "#e3d5d8", "#dbe3d6"])
    window = rng.uniform(8, 92)
    return (
        f'<rect width="144" height="144" fill="{wall}"/>'
        f'<rect x="{window:.0f}" y="12" width="42" height="46" fill="#bfe0f2" stroke="#fff" stroke-width="4"/>'
        f'<path d="M{window + 21:.0f} 12V58M{window:.0f} 35H{window + 42:.0f}" stroke="#fff" stroke-width="3"/>'
        '<rect y="88" width="144" height="5" fill="#ffffff"/>'
        '<rect y="93" width="144" height="51" fill="#b98a5a"/>'
        '<path d="M0 108H144M0 126H144M30 93V108M92 93V108M58 108V126M120 108V126M20 126V144M84 126V144" '
        'stroke="#94693f" fill="none"/>'
    )


def _desert(rng: random.Random) -> str:
    cactus = (
        '<path d="M0 0V-30M0-12H-9V-22M0-16H9V-26" stroke="#4f7f45" stroke-width="6" '
        'stroke-linecap="round" stroke-linejoin="round" fill="none"/>'
    )
    sun = rng.uniform(20, 124)
    return (
        '<rect width="144" height="144" fill="#fbd9a5"/>'
        f'<circle cx="{sun:.0f}" cy="26" r="14" fill="#fff0c9"/>'
        '<path d="M0 84Q30 62 66 80T144 70V144H0Z" fill="#d98c4a"/>'
        + _scatter(rng, 3, cactus, (84, 92))
        + '<path d="M0 96Q50 84 96 95T144 92V144H0Z" fill="#e8a763"/>'
    )


BACKDROPS = {
    "studio": _studio, "beach": _beach, "snow": _snow, "forest": _forest,
    "street": _street, "night": _night, "room": _room, "desert": _desert,
}  # fmt: skip

_BANDS = (
    (0, "#fff", 0.9), (0.25, "#111", 0.75), (0.45, "#fff", 0.95),
    (0.6, "#111", 0.7), (0.85, "#fff", 0.85), (1, "#111", 0.7),
)  # fmt: skip
_GLOW = ((0, 1), (0.6, 0.8), (1, 0))


def finished(finish: str, name: str, drawing: str) -> tuple[str, str]:
    """SVG definitions a finish needs, and the drawing of an item with it.

    Args:
        finish: One of `FINISHES`; "" leaves the drawing alone.
        name: A prefix for ids, unique in the picture.
        drawing: The item in its 100 × 100 box. Bands of metal are not drawn here but painted over
            it, see `overlay`.
    """
    if finish == "glassy":
        return "", f'<g opacity=".38">{drawing}</g>'
    if finish == "glowing":
        stops = "".join(
            f'<stop offset="{offset}" stop-color="#fff39a" stop-opacity="{opacity}"/>'
            for offset, opacity in _GLOW
        )
        halo = f'<ellipse cx="50" cy="52" rx="66" ry="62" fill="url(#{name})"/>'
        return f'<radialGradient id="{name}">{stops}</radialGradient>', halo + drawing
    return "", drawing


def overlay(finish: str, name: str) -> tuple[str, list[str]]:
    """SVG definitions, and the fills to lay over an item's paint."""
    if finish != "metallic":
        return "", []
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{colour}" stop-opacity="{opacity}"/>'
        for offset, colour, opacity in _BANDS
    )
    bands = f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'
    return bands, [f"url(#{name})"]
