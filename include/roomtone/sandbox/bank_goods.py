"""The goods, by kind: what is asked of them, how they arrive, what shows in use. Notation as in `bank_matters.py`."""

# Questions before buying, by kind of product.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "kitchen": (
        "Is the {product} dishwasher safe?",
        "How much does the {product} hold?",
        "Can the {product} go in the microwave?",
        "Is the glaze on the {product} lead-free?",
    ),
    "decor": (
        "How tall is the {product}?",
        "Does the {product} come with everything needed to put it up?",
        "Is the {product} all right for a damp bathroom?",
        "Does the {product} also come in {colour}?",
    ),
    "textile": (
        "Can the {product} be washed at 60 degrees?",
        "Does the {product} shrink in the wash?",
        "Is the {product} made of organic [fibres|material]?",
        "Does the {product} also come in {colour}?",
    ),
    "other": (
        "How big is the {product}?",
        "What is the {product} made of?",
        "Where is the {product} made?",
        "When will the {product} be back in stock?",
    ),
}

# How a product can arrive, by kind.
DAMAGES: dict[str, tuple[str, ...]] = {
    "kitchen": (
        "has a crack in it",
        "came chipped",
        "was in pieces in the box",
        "has a chip at the edge",
        "arrived broken",
    ),
    "decor": (
        "has a crack in it",
        "arrived in two pieces",
        "is dented on one side",
        "was smashed in the box",
        "is scratched",
    ),
    "textile": (
        "has a hole in it",
        "came with a stain on the front",
        "has a seam that is coming undone",
        "smells of smoke",
    ),
    "other": ("is scratched", "came crushed in the box", "has a split along one edge", "arrived damaged"),
}

# What shows only in use, by kind.
FAULTS: dict[str, tuple[str, ...]] = {
    "kitchen": ("is losing its colour", "leaks a little", "has fine cracks in the glaze", "doesn't stand quite level"),
    "decor": ("wobbles", "doesn't stay up", "has paint coming off", "is not what it was"),
    "textile": ("has lost its colour", "has shrunk", "is losing threads", "is getting bobbles"),
    "other": ("is coming apart at one corner", "smells of glue", "has warped", "has lost its shine"),
}

# All products that are not of the kind "other".
KINDS: dict[str, str] = {
    **dict.fromkeys(
        ("stoneware mug", "pair of espresso cups", "glass carafe", "hand-painted plate", "enamel jug"), "kitchen"
    ),
    **dict.fromkeys(("cast iron teapot", "salad bowl"), "kitchen"),
    **dict.fromkeys(("ceramic vase", "desk lamp", "wall clock", "scented diffuser"), "decor"),
    **dict.fromkeys(("herb planter", "brass picture frame"), "decor"),
    **dict.fromkeys(("linen apron", "wool throw", "tea towel set", "cotton table runner"), "textile"),
    **dict.fromkeys(("cushion cover", "baby blanket", "door mat"), "textile"),
}
