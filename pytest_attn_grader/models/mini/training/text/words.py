"""The words the generator writes with. Every list is a plain tuple; nothing here is random."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BOYS = _words(
    "Tom Sam Ben Max Leo Dan Jack Tim Adam Paul Mark Luke John Peter David Carl Hugo Felix Oscar Ivan Noah Liam "
    "Owen Eric Fred Gary Henry Jim Kevin Louis Martin Nick Ralph Simon Victor Walter Ali Omar Ravi Kofi Juan "
    "Diego Marco Bruno Emil Hans Igor Karim"
)
GIRLS = _words(
    "Ann Lily Mary Sue Eva Kate Lucy Emma Rose Jane Sara Anna Nina Clara Alice Ella Grace Ruby Zoe Maya Mia Olga "
    "Petra Rita Sofia Tina Vera Wanda Amy Beth Carla Diana Fiona Gina Helen Ida Julia Karen Laura Nora Paula "
    "Rachel Sonia Fatima Aisha Lena Ingrid Yoko"
)
NAMES = BOYS + GIRLS

THINGS = _words(
    "ball key cup hat book coin drum kite lamp pen ring shoe spoon stone toy watch doll rope bell map brush comb "
    "fork plate knife candle button ribbon letter card stick shell flute pencil scarf glove whistle mirror clock "
    "bottle puzzle feather marble hammer nail needle towel pillow blanket basket balloon sock belt coat"
)
MASS_FOODS = _words("bread milk cheese cake soup rice jam honey tea fish butter salt sugar corn pie")
COUNT_FOODS = _words("apple pear plum egg lemon carrot bean nut melon peach onion potato")
FOODS = MASS_FOODS + COUNT_FOODS
COUNTED = (*COUNT_FOODS, "coin", "shell", "stone", "button", "marble", "card")
ANIMALS = _words("cat dog bird mouse horse cow hen duck fox frog goat pig rabbit bear lion wolf sheep owl snake turtle")
CONTAINERS = _words("box bag drawer jar bucket pocket chest pot bowl case tin trunk crate sack barrel cupboard")
SURFACES = _words("mat rug table chair bed sofa floor wall roof bench shelf stool desk bridge rock log")
PLACES = _words(
    "park shop school lake house garden kitchen farm beach forest river market station tower church library "
    "museum barn castle harbor village hill"
)
COLOURS = _words("red blue green white black yellow brown pink grey purple orange gold silver")
SIZES = _words("big small old new long little heavy soft shiny pretty dirty clean broken round")
MOODS = _words("happy sad tired hungry angry proud afraid glad cold busy")
NUMBERS = _words("one two three four five six seven eight nine ten eleven twelve")
JOBS = _words("doctor teacher baker farmer painter singer sailor driver cook judge king queen")

GIVING = ("gave", "handed", "lent", "sent", "showed", "sold", "brought")
# past, plain form, third person
SITTING = (
    ("sat", "sit", "sits"),
    ("slept", "sleep", "sleeps"),
    ("stood", "stand", "stands"),
    ("jumped", "jump", "jumps"),
)
ANIMAL_VERBS = (
    ("ran", "run", "runs"),
    ("ate", "eat", "eats"),
    ("slept", "sleep", "sleeps"),
    ("played", "play", "plays"),
    ("hid", "hide", "hides"),
)
THANKING = ("thanked", "hugged", "kissed", "smiled at", "waved to", "said thank you to")
# relation -> its converse
CONVERSE = (
    ("under", "over"),
    ("over", "under"),
    ("left of", "right of"),
    ("right of", "left of"),
    ("behind", "in front of"),
    ("in front of", "behind"),
    ("near", "near"),
    ("above", "below"),
    ("below", "above"),
)
COMPARISONS = (
    ("taller", "shorter"),
    ("shorter", "taller"),
    ("older", "younger"),
    ("younger", "older"),
    ("faster", "slower"),
    ("slower", "faster"),
    ("stronger", "weaker"),
    ("weaker", "stronger"),
)


def plural(noun: str) -> str:
    """The plural of a noun of this file."""
    irregular = {"mouse": "mice", "sheep": "sheep", "fish": "fish", "knife": "knives", "wolf": "wolves"}
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("s", "x", "ch", "sh", "to")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + "s"


def a(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def copied_words() -> tuple[str, ...]:
    """The words of lists and repeated strings: every noun, name, colour, size, mood, number and job."""
    groups = (NAMES, THINGS, FOODS, ANIMALS, CONTAINERS, SURFACES, PLACES, COLOURS, SIZES, MOODS, NUMBERS, JOBS)
    return tuple(dict.fromkeys(word for group in groups for word in group))
