"""Rewords instructions in the five forms of LIBERO-Plus' language files.

A language model wrote the original's fifty rewordings a task; these are from templates
of our own, in the same forms: other verbs and nouns, descriptions instead of names,
requests, context that distracts, and clauses that exclude or confirm. They are lower
case and without punctuation, as the original's. Axes: B environments, N tasks.
"""

import functools
import re
from typing import Callable, Mapping, Sequence

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.world.perturbations import kinds

FORMS = kinds.DIMENSIONS["language"]
PER_FORM = 6
COUNT = PER_FORM * len(FORMS)
OWN_WORDS = 0  # the phrase that is the instruction itself

Words = Mapping[str, Sequence[str]]

_VERBS: Words = {
    "pick up": ("lift", "grab", "take", "grasp", "collect", "get hold of"),
    "place": ("set", "lay", "position", "deposit", "rest", "leave"),
    "put": ("set", "lay", "position", "deposit", "rest", "leave"),
    "open": ("pull open", "slide open", "unclose", "pull out", "draw open", "widen"),
    "close": ("shut", "seal", "fasten", "secure", "latch", "block"),
    "turn on": ("switch on", "activate", "start", "power up", "light", "fire up"),
    "turn off": ("switch off", "deactivate", "stop", "power down", "cut", "shut off"),
    "push": ("slide", "shove", "move", "nudge", "press", "shift"),
    "stack": ("pile", "set", "lay", "heap", "rest", "put"),
}
_NOUNS: Words = {
    "cabinet": ("cupboard", "storage unit", "chest", "sideboard", "locker", "dresser"),
    "stove": ("cooker", "hob", "burner", "hot plate", "range", "cooktop"),
    "microwave": ("microwave oven", "small oven", "oven"),
    "caddy": ("organizer", "holder", "stand"),
    "basket": ("hamper", "carrier", "bin"),
    "plate": ("dish", "platter", "serving plate"),
    "mug": ("cup", "beaker", "tumbler"),
    "book": ("volume", "paperback", "novel"),
    "ramekin": ("baking cup", "small dish", "small mould"),
    "rack": ("stand", "holder", "frame"),
}
_DESCRIPTIONS: Words = {
    "black bowl": (
        "dark round container for food",
        "dark vessel for soup",
        "dark half sphere to eat from",
    ),
    "bowl": (
        "round container for food",
        "deep vessel for soup",
        "half sphere to eat from",
    ),
    "plate": (
        "flat round dish that food is served on",
        "flat disc to eat from",
        "wide dinner platter",
    ),
    "wine bottle": (
        "container of fermented grape drink",
        "tall glass flask of grapes",
        "corked vessel from a vineyard",
    ),
    "rack": (
        "wooden holder for bottles",
        "stand where bottles lie",
        "frame that keeps flasks",
    ),
    "stove": (
        "appliance that food is cooked on",
        "thing that heats pans",
        "kitchen device with a hot ring",
    ),
    "cream cheese box": (
        "packet of white spread",
        "carton of soft spread",
        "small pack for bagels",
    ),
    "cream cheese": (
        "packet of white spread",
        "carton of soft spread",
        "small pack for bagels",
    ),
    "alphabet soup": (
        "tin with letters to eat",
        "can of noodle letters in broth",
        "can whose noodles spell words",
    ),
    "tomato sauce": (
        "tin of crushed red fruit",
        "can of red pasta topping",
        "can for spaghetti",
    ),
    "salad dressing": (
        "bottle to pour over leaves",
        "flask of oil and herbs",
        "vinaigrette in a flask",
    ),
    "bbq sauce": (
        "bottle for grilled meat",
        "flask of smoky brown condiment",
        "dark glaze for ribs",
    ),
    "ketchup": (
        "red condiment bottle",
        "flask of sweet red condiment",
        "squeeze bottle for fries",
    ),
    "butter": (
        "bar of yellow spread",
        "block of churned cream",
        "pack of dairy fat for toast",
    ),
    "milk": ("carton of white drink", "pack with what cows give", "dairy carton"),
    "chocolate pudding": (
        "box of brown dessert",
        "packet of cocoa dessert",
        "pack of dark creamy sweet",
    ),
    "orange juice": (
        "carton of citrus drink",
        "pack of pressed citrus",
        "carton for breakfast with fruit",
    ),
    "basket": (
        "woven container for shopping",
        "carrier with open top",
        "wicker holder for groceries",
    ),
    "drawer": (
        "compartment that slides out",
        "box that can be pulled out",
        "sliding storage tray",
    ),
    "cabinet": (
        "wooden furniture with compartments",
        "furniture that stores things",
        "piece of furniture with doors",
    ),
    "cookie box": (
        "packet of biscuits",
        "carton of sweet biscuits",
        "pack of baked sweets",
    ),
    "ramekin": (
        "little white baking dish",
        "small round pot for baking",
        "tiny round souffle mould",
    ),
    "moka pots": (
        "metal coffee makers",
        "pots that brew espresso",
        "italian brewing devices",
    ),
    "moka pot": (
        "metal coffee maker",
        "pot that brews espresso",
        "italian brewing device",
    ),
    "frying pan": (
        "flat vessel with a handle for frying",
        "skillet",
        "round pan for eggs",
    ),
    "mug": (
        "cup with a handle for hot drinks",
        "vessel for coffee",
        "handled drinking vessel",
    ),
    "microwave": (
        "box that heats food with waves",
        "quick electric oven",
        "appliance with a rotating disc",
    ),
    "book": ("bound pages to read", "thing made of printed pages", "printed volume"),
    "caddy": (
        "desk organizer with compartments",
        "holder for things on a desk",
        "stationery box with sections",
    ),
    "tray": ("flat carrier with a rim", "shallow carrier", "serving board with edges"),
    "shelf": (
        "board that things stand on",
        "wooden board of the furniture",
        "level of the furniture",
    ),
}
_REQUESTS = (
    *("could you please {}", "please make sure to {}", "i would like you to {}"),
    *("would you be so kind as to {}", "your task is to {}", "it is time to {} please"),
)
_CONTEXTS = (
    "before our guests arrive {}",
    "{} because we start cooking soon",
    "i am running late so {}",
    "{} and then we will have a break",
    "the music is a bit loud but {}",
    "while i water the flowers {}",
)
_CONFIRMATIONS = (
    *("{} and nothing else", "{} and check that it is done", "only {}"),
    *("{} without touching anything else", "{} and make sure it stays so"),
    "{} and leave the other things as they are",
)


def phrases(instruction: str) -> tuple[str, ...]:
    """The instruction in all forms.

    Args:
      instruction: lower case, such as "put the bowl on the plate".

    Returns:
      COUNT texts, PER_FORM of each of FORMS, none of which is the instruction.
    """
    writers: dict[str, Callable[[int], str]] = {
        "synonyms": lambda row: _replaced(
            _replaced(instruction, _VERBS, row), _NOUNS, row
        ),
        # Three descriptions, of which one is held out, then with other verbs.
        "periphrasis": lambda row: _replaced(
            _replaced(instruction, _VERBS, row) if row > 2 else instruction,
            _DESCRIPTIONS,
            row,
        ),
        "request": lambda row: _REQUESTS[row].format(instruction),
        "context": lambda row: _CONTEXTS[row].format(instruction),
        "confirmation": lambda row: _CONFIRMATIONS[row].format(instruction),
    }
    texts = []
    for form in FORMS:
        for row in range(PER_FORM):
            text = writers[form](row)
            if text == instruction:  # it has no word that the form replaces
                text = f"what has to be done now is to {instruction}"
            texts.append(text)
    return tuple(texts)


def table(instructions: Sequence[str]) -> tuple[str, ...]:
    """All texts of N tasks: their own instructions, then phrase after phrase of all."""
    reworded = [phrases(text) for text in instructions]
    return (*instructions, *(row[i] for i in range(COUNT) for row in reworded))


def row(instruction_id: jax.Array, phrase: jax.Array, count: int) -> jax.Array:
    """The rows of `table` that hold episodes' instructions.

    Args:
      instruction_id: int32 [B], of the tasks.
      phrase: int32 [B]: OWN_WORDS, or 1 to COUNT.
      count: N tasks of the table.

    Returns:
      int32 [B]; unknown tasks stay unknown, -1.
    """
    chex.assert_equal_shape([instruction_id, phrase])
    exists = (instruction_id >= 0) & (instruction_id < count)
    return jnp.where(exists, instruction_id + phrase * count, -1)


def draw(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> jax.Array:
    """Draw phrases of the active forms; of several, the last. Words have no magnitude.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      active: bool [B, 5], of `FORMS`.

    Returns:
      int32 [B].
    """
    chex.assert_shape(active, (len(keys), len(FORMS)))
    form = jnp.max(jnp.where(active, jnp.arange(len(FORMS)), -1), axis=1)
    drawn = jax.vmap(lambda key: kinds.pick(key, PER_FORM, split))(keys)
    changes = (form >= 0) & (jnp.broadcast_to(severity, keys.shape) > 0)
    phrase = 1 + PER_FORM * form + drawn
    return jnp.where(changes, phrase, OWN_WORDS).astype(jnp.int32)


def _replaced(text: str, words: Words, row: int) -> str:
    """The text with each known word replaced by its option `row`, longest first."""
    return _pattern(tuple(words)).sub(
        lambda match: words[match[0]][row % len(words[match[0]])], text
    )


@functools.cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    listed = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return re.compile(rf"\b(?:{listed})\b")
