"""Schemas of galleries that have nothing to do with each other."""

from models.contracts.gallery import Facet

OBJECTS = (
    Facet(
        name="colour",
        kind="keyword",
        values=("red", "blue", "green", "white", "black", "grey", "brown", "pink", "purple"),
    ),
    Facet(name="pattern", kind="keyword", values=("plain", "striped", "dotted", "checked")),
    Facet(
        name="category",
        kind="keyword",
        values=("sofa", "lamp", "mug", "hat", "shoe", "umbrella", "car"),
        multi_valued=True,
    ),
    Facet(name="setting", kind="keyword", values=("snow", "beach", "night", "room"), context=True),
    Facet(name="price", kind="number"),
)
FASHION = (
    Facet(name="type", kind="keyword", values=("dress", "trousers", "jacket", "scarf")),
    Facet(name="material", kind="keyword", values=("leather", "wool", "cotton", "silk", "denim")),
    Facet(name="sleeve", kind="keyword", values=("long sleeves", "short sleeves", "sleeveless")),
    Facet(name="shade", kind="keyword", values=("navy", "beige", "burgundy", "olive")),
)
ANIMALS = (
    Facet(name="animal", kind="keyword", values=("cat", "dog", "horse", "bird", "rabbit")),
    Facet(name="activity", kind="keyword", values=("sleeping", "running", "eating")),
    Facet(name="place", kind="keyword", values=("garden", "kitchen", "lake"), context=True),
)
