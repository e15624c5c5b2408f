"""Bindings: who gave what to whom, what is where, who has which. Each prompt can be answered from its own text only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .words import (
    ANIMALS,
    COLOURS,
    CONTAINERS,
    GIVING,
    JOBS,
    MASS_FOODS,
    NUMBERS,
    PLACES,
    SITTING,
    SURFACES,
    THANKING,
    THINGS,
    a,
)
from .writer import Prompt, Writer, capital, he

KIND = "binding"
# A document goes on with this many more questions at most: they are where there is something to learn.
MORE_QUESTIONS = 3
BYSTANDERS = (
    "{0} was in the {2} with {1}. ",
    "{0} and {1} were at the {2}. ",
    "{0} saw {1} at the {2}. ",
    "It was a nice day at the {2}. ",
    "",
    "",
    "",
    "",
)

# a sentence that breaks off, and how it goes on
ProjectedInputs = tuple[str, str]


def ask(writer: Writer, facts: str, questions: Sequence[ProjectedInputs]) -> Prompt:
    """A prompt: the facts, then a question; its document goes on with more questions about the same facts."""
    (text, answer), *more = writer.some(questions, min(len(questions), 1 + writer.number(1, MORE_QUESTIONS)))
    return Prompt(
        KIND,
        f"{facts} {text}",
        f" {answer}",
        tuple((f". {other_text}", f" {other_answer}") for other_text, other_answer in more),
    )


def giving(writer: Writer) -> Prompt:
    """Someone gives, the other thanks: "Tom gave Ann a ball. Ann thanked" -> Tom."""
    giver, taker, *others = writer.people(4)
    thing = writer.pick(THINGS)
    described = a(f"{writer.pick(COLOURS)} {thing}" if writer.chance(0.3) else thing)
    before = writer.pick(BYSTANDERS).format(*others, writer.pick(PLACES))
    if writer.chance(0.7):
        given = f"{giver} {writer.pick(GIVING)} {taker} {described}."
    else:
        given = f"{taker} got {described} from {giver}."
    between = f" {taker} was happy." if writer.chance(0.1) else ""
    questions = (
        (f"{taker} {writer.pick(THANKING)}", giver),
        (f"Then {taker} {writer.pick(THANKING)}", giver),
        (f'"Thank you," {taker} said to', giver),
        (f"The {thing} came from", giver),
        (f"Now the {thing} belongs to", taker),
        (f"The {thing} is now with", taker),
    )
    return ask(writer, before + given + between, questions)


def containers(writer: Writer) -> Prompt:
    """Things in containers: "The ball is in the box. The key is in the jar. The ball is in the" -> box."""
    pairs = writer.bindings(THINGS, CONTAINERS, writer.number(2, 4))
    questions = []
    if writer.chance(0.5):
        facts = " ".join(f"The {thing} is in the {container}." for thing, container in pairs)
    else:
        people = writer.people(len(pairs))
        facts = " ".join(
            f"{who} put the {thing} in the {container}." for who, (thing, container) in zip(people, pairs, strict=True)
        )
        for who, (thing, container) in zip(people, pairs, strict=True):
            questions += [(f"{who} looked for the {thing} in the", container), (f"{who} opened the", container)]
    for thing, container in pairs:
        questions += [
            (f"The {thing} is in the", container),
            (f"Where is the {thing}? It is in the", container),
            (f"In the {container} is the", thing),
        ]
    return ask(writer, facts, questions)


def places(writer: Writer) -> Prompt:
    """People in places, asked from either side."""
    people = writer.people(writer.number(2, 4))
    pairs = list(zip(people, writer.some(PLACES, len(people)), strict=True))
    facts = " ".join(f"{who} went to the {place}." for who, place in pairs)
    questions = []
    for who, place in pairs:
        questions += [
            (f"{who} is at the", place),
            (f"Where is {who}? {capital(he(who))} is at the", place),
            (f"Who is at the {place}? It is", who),
            (f"At the {place} you can find", who),
        ]
    return ask(writer, facts, questions)


def owners(writer: Writer) -> Prompt:
    """People and what they have, in which colour."""
    people = writer.people(writer.number(2, 3))
    owned = list(zip(people, writer.bindings(THINGS, COLOURS, len(people)), strict=True))
    facts = " ".join(f"{who} has {a(f'{colour} {thing}')}." for who, (thing, colour) in owned)
    questions = []
    for who, (thing, colour) in owned:
        questions += [
            (f"The {thing} belongs to", who),
            (f"Who has the {thing}? It is", who),
            (f"The {colour} {thing} is from", who),
            (f"{who}'s {thing} is", colour),
            (f"{who} plays with the {colour}", thing),
            (f"The {thing} is", colour),
        ]
    return ask(writer, facts, questions)


def seats(writer: Writer) -> Prompt:
    """Animals on things: "The cat sat on the mat. The dog slept on the rug. The cat sat on the" -> mat."""
    seated = [(pair, writer.pick(SITTING)[0]) for pair in writer.bindings(ANIMALS, SURFACES, writer.number(2, 4))]
    facts = " ".join(f"The {who} {verb} on the {where}." for (who, where), verb in seated)
    questions = []
    for (who, where), verb in seated:
        questions += [
            (f"The {who} {verb} on the", where),
            (f"Yes, the {who} was on the", where),
            (f"Who was on the {where}? It was the", who),
            (f"On the {where} was the", who),
        ]
    return ask(writer, facts, questions)


def tastes(writer: Writer) -> Prompt:
    """People and one fact each: what they like, what they are, how old they are."""
    people = writer.people(writer.number(2, 4))
    statement, question, values = writer.pick(
        (
            ("{0} likes {1}.", "{0} eats", MASS_FOODS),
            ("{0} is a {1}.", "{0} works as a", JOBS),
            ("{0} is {1} years old.", "The age of {0} is", NUMBERS),
            ("{0} has number {1}.", "The number of {0} is", NUMBERS),
        )
    )
    pairs = list(zip(people, writer.some(values, len(people)), strict=True))
    facts = " ".join(statement.format(who, value) for who, value in pairs)
    return ask(writer, facts, [(question.format(who), value) for who, value in pairs])


BINDINGS: tuple[Callable[[Writer], Prompt], ...] = (giving, giving, containers, places, owners, seats, tastes)


def binding(writer: Writer) -> Prompt:
    """A prompt of any of the families above."""
    return writer.pick(BINDINGS)(writer)
