"""Small stories: people and things are introduced, things happen to them, and later sentences refer back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from .words import (
    ANIMAL_VERBS,
    ANIMALS,
    COLOURS,
    COMPARISONS,
    CONTAINERS,
    CONVERSE,
    COUNT_FOODS,
    COUNTED,
    GIVING,
    MASS_FOODS,
    MOODS,
    NUMBERS,
    PLACES,
    SITTING,
    SIZES,
    SURFACES,
    THANKING,
    THINGS,
    a,
    plural,
)
from .writer import Writer, capital, he, him, his


@dataclass(frozen=True)
class World:
    """The subjects of a story: two people, an animal, two things with their colours, a place."""

    writer: Writer
    one: str
    two: str
    animal: str
    thing: str
    other: str
    colour: str
    other_colour: str
    place: str
    surface: str
    container: str

    def tell(self, template: str, **more: str) -> str:
        """The template with this world's words, and more of them, in its gaps."""
        return template.format(**{field.name: getattr(self, field.name) for field in fields(self)}, **more)

    def shuffle_people(self) -> tuple[str, str]:
        """The two people in random order."""
        first, second = self.writer.some((self.one, self.two), 2)
        return first, second


def build_world(writer: Writer) -> World:
    """A new world; in held-out text it is made of pairs that training text never joins."""
    one, two = writer.people(2)
    (thing, container), (other, _) = writer.bindings(THINGS, CONTAINERS, 2)
    ((animal, surface),) = writer.bindings(ANIMALS, SURFACES, 1)
    colour, other_colour = writer.some(COLOURS, 2)
    return World(writer, one, two, animal, thing, other, colour, other_colour, writer.pick(PLACES), surface, container)


def opening(world: World) -> str:
    """The first sentences: the people, their place and their things."""
    template = world.writer.pick(
        (
            "One day {one} and {two} were at the {place}. {one} had {a_colour} {thing}.",
            "{one} lived near the {place}. {He} had a friend. {Her} name was {two}.",
            "{one} had {a_colour} {thing}. {two} had {an_other_colour} {other}.",
            "Once there was {an_animal}. The {animal} lived at the {place} with {one} and {two}.",
            "{two} went to the {place} to see {one}.",
        )
    )
    return world.tell(
        template,
        a_colour=a(world.colour),
        an_other_colour=a(world.other_colour),
        an_animal=a(world.animal),
        He=capital(he(world.one)),
        Her=capital(his(world.two)),
    )


def give(world: World) -> str:
    """The thing changes hands, and the taker thanks the giver."""
    giver, taker = world.shuffle_people()
    given = world.writer.pick((world.thing, world.other))
    gave, thanked = world.writer.pick(GIVING), world.writer.pick(THANKING)
    return f"{giver} {gave} {taker} the {given}. {taker} {thanked} {giver}. Now {taker} had the {given}."


def put_away(world: World) -> str:
    """The thing is put somewhere and found there."""
    who, finder = world.shuffle_people()
    return world.tell(
        "{who} put the {thing} in the {container}. {finder} looked for the {thing}. {He} found it in the {container}.",
        who=who,
        finder=finder,
        He=capital(he(finder)),
    )


def sitting(world: World) -> str:
    """The animal sits somewhere, and the pair of words comes back."""
    past, plain, _ = world.writer.pick(SITTING)
    again = (
        "{one} saw the {animal} {plain} on the {surface}."
        if world.writer.chance(0.5)
        else '"Why did the {animal} {plain} on the {surface}?" asked {two}.'
    )
    return world.tell("The {animal} {past} on the {surface}. " + again, past=past, plain=plain)


def speech(world: World) -> str:
    """Something is said, and said again."""
    speaker, hearer = world.shuffle_people()
    writer = world.writer
    said = writer.pick(
        (
            f"The {world.thing} is {writer.pick(SIZES)}",
            f"I see {a(world.colour)} {writer.pick(ANIMALS)}",
            f"We must go to the {writer.pick(PLACES)}",
            f"I want {a(writer.pick(COUNT_FOODS))} and {a(writer.pick(COUNT_FOODS))}",
            f"My {writer.pick(THINGS)} is in the {world.container}",
            f"Do not touch the {world.other_colour} {world.other}",
        )
    )
    return (
        f'{speaker} said, "{said}." {hearer} did not hear {him(speaker)}. So {speaker} said again, "{said}." '
        f'"Oh," said {hearer}.'
    )


def negation(world: World) -> str:
    """A sentence that denies something, and one that says what is true instead."""
    who, friend = world.shuffle_people()
    template = world.writer.pick(
        (
            "The {thing} was not {other_colour}. It was {colour}. {who} liked the {colour} {thing}.",
            "{who} did not want the {thing}. {He} wanted the {other}. So {friend} gave {him} the {other}.",
            "{who} was not at the {place}, but {friend} was. So {friend} waited at the {place} for {who}.",
            "The {thing} was not in the {container}. It was on the {surface}. {who} took it from the {surface}.",
        )
    )
    return world.tell(template, who=who, friend=friend, He=capital(he(who)), him=him(who))


def spatial(world: World) -> str:
    """A relation and its converse."""
    relation, converse = world.writer.pick(CONVERSE)
    return world.tell(
        "The {thing} was {relation} the {other}. So the {other} was {converse} the {thing}.",
        relation=relation,
        converse=converse,
    )


def comparison(world: World) -> str:
    """A comparison and its converse."""
    more, less = world.writer.pick(COMPARISONS)
    return world.tell("{one} was {more} than {two}. So {two} was {less} than {one}.", more=more, less=less)


def counting(world: World) -> str:
    """Counting aloud, or adding one."""
    nouns = plural(world.writer.pick(COUNTED))
    count = world.writer.number(2, 9)
    is_aloud = world.writer.chance(0.5)
    return world.tell(
        "{one} counted the {nouns}: {aloud}. There were {count} {nouns}."
        if is_aloud
        else "{one} had {count} {nouns}. {two} gave {him} one more. Now {one} had {next} {nouns}.",
        nouns=nouns,
        aloud=", ".join(NUMBERS[:count]),
        count=NUMBERS[count - 1],
        next=NUMBERS[count],
        him=him(world.one),
    )


def agreement(world: World) -> str:
    """One or many, with a noun of the other number in between."""
    past, _, third = world.writer.pick(ANIMAL_VERBS)
    _, plain, _ = world.writer.pick(ANIMAL_VERBS)
    near = world.writer.pick(("near", "by", "behind"))
    template = (
        "The {animal} {near} the {others} {third}. The {animal} was {mood}."
        if world.writer.chance(0.5)
        else "The {animals} {near} the {other} {plain}. The {animals} were {mood}. Before that they {past}."
    )
    return world.tell(
        template,
        near=near,
        past=past,
        plain=plain,
        third=third,
        others=plural(world.other),
        animals=plural(world.animal),
        mood=world.writer.pick(MOODS),
    )


def possession(world: World) -> str:
    """Sentences about the owner of a thing."""
    template = world.writer.pick(
        (
            "It was {one}'s {thing}. {two} gave the {thing} back to {one}.",
            "{one} took {his} {thing} and {two} took {her} {other}. "
            "{one}'s {thing} was {colour}. {two}'s {other} was {other_colour}.",
            '"Is this your {thing}?" {two} asked {one}. "Yes, it is my {thing}," said {one}.',
        )
    )
    return world.tell(template, his=his(world.one), her=his(world.two))


def mood(world: World) -> str:
    """A feeling, and a question about it."""
    who = world.writer.pick((world.one, world.two))
    asking = world.two if who == world.one else world.one
    feeling = world.writer.pick(MOODS)
    return f'{who} was {feeling}. "Why are you {feeling}?" asked {asking}.'


def shopping(world: World) -> str:
    """A short list, bought as it was wished."""
    foods = world.writer.some(MASS_FOODS, world.writer.number(2, 4))
    wished = f"{', '.join(foods[:-1])} and {foods[-1]}"
    return world.tell("{two} wanted {wished}. So {one} went to the shop and bought {wished}.", wished=wished)


def ending(world: World) -> str:
    """Everyone goes home."""
    template = world.writer.pick(
        (
            "Then {one} and {two} went home.",
            "At last {two} went home with {her} {other}, and {one} kept the {thing}.",
            "{one} and {two} were happy at the {place}.",
            "The {animal} was still on the {surface}.",
        )
    )
    return world.tell(template, her=his(world.two))


SCENES: tuple[Callable[[World], str], ...] = (
    give,
    put_away,
    sitting,
    speech,
    negation,
    spatial,
    comparison,
    counting,
    agreement,
    possession,
    mood,
    shopping,
)


def story(writer: Writer) -> str:
    """An opening, a few scenes in any order, mostly an ending."""
    world = build_world(writer)
    parts = [opening(world)] if writer.chance(0.8) else []
    parts += [scene(world) for scene in writer.some(SCENES, writer.number(2, 4))]
    if writer.chance(0.7):
        parts.append(ending(world))
    return " ".join(parts)
