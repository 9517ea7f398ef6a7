"""Word problems of three and four steps."""

from __future__ import annotations

from random import Random

from coevolve.suites.questions import Form, several, someone


def _legs(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(6, 40), draw.randint(8, 60)
    four, two = draw.choice((("cows", "hens"), ("sheep", "geese"), ("goats", "ducks"), ("horses", "turkeys")))
    return (
        f"There are {a} {four} and {b} {two} on a farm. How many legs do these animals have altogether?"
    ), 4 * a + 2 * b


def _departure(draw: Random) -> tuple[str, int]:
    start, length = 5 * draw.randint(6 * 12, 10 * 12), 5 * draw.randint(13, 60)
    what, place = draw.choice((("train", "the capital"), ("bus", "the coast"), ("boat", "the island")))
    return (
        f"A {what} leaves at {_clock(start)} and reaches {place} at {_clock(start + length)} on the same day. "
        "How many minutes does the journey take?"
    ), length


def _clock(minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    return f"{(hour - 1) % 12 + 1}:{minute:02} {'a.m.' if hour < 12 else 'p.m.'}"


def _tickets(draw: Random) -> tuple[str, int]:
    child = draw.randint(4, 12)
    adult, x, y = child + draw.randint(2, 12), draw.randint(2, 6), draw.randint(3, 15)
    place = draw.choice(("zoo", "science museum", "castle", "water park"))
    return (
        f"A ticket for the {place} costs {adult} dollars for an adult and {child} dollars for a child. "
        f"How many dollars do {x} adults and {y} children pay in total?"
    ), x * adult + y * child


def _wages(draw: Random) -> tuple[str, int]:
    who, pay, hours = someone(draw), draw.randint(11, 30), draw.randint(3, 8)
    days, weeks = draw.randint(3, 5), draw.randint(2, 8)
    return (
        f"{who} earns {pay} dollars an hour and works {hours} hours a day on {days} days of every week. "
        f"How many dollars does {who.he} earn in {weeks} weeks?"
    ), pay * hours * days * weeks


def _harvest(draw: Random) -> tuple[str, int]:
    one, other, third = several(draw, 3)
    x = 2 * draw.randint(5, 30)
    more = 2 * draw.randint(2, 15)
    what = draw.choice(("cherries", "strawberries", "plums", "olives"))
    return (
        f"{one} picked {x} kilograms of {what}. {other} picked {more} kilograms more than {one}, and {third} "
        f"picked half as much as {other}. How many kilograms did the three of them pick together?"
    ), x + (x + more) + (x + more) // 2


def _scores(draw: Random) -> tuple[str, int]:
    who, mean, a, b = someone(draw), draw.randint(62, 85), draw.randint(1, 7), draw.randint(2, 8)
    points = [mean + a, mean - b, mean - a + b]
    draw.shuffle(points)
    what = draw.choice(("spelling tests", "archery rounds", "quizzes"))
    return (
        f"In three {what} {who} scored {points[0]}, {points[1]} and {points[2]} points. "
        f"What was {who.his} average score, in points?"
    ), mean


def _tiles(draw: Random) -> tuple[str, int]:
    wide = draw.randint(2, 8)
    long = wide + draw.randint(1, 7)
    place = draw.choice(("kitchen", "hallway", "bathroom", "balcony"))
    return (
        f"The floor of a rectangular {place} is {long} meters long and {wide} meters wide. It is covered with square "
        "tiles whose sides are 50 centimeters long. How many tiles are needed?"
    ), 2 * long * 2 * wide


def _to_school(draw: Random) -> tuple[str, int]:
    third, bikes = draw.randint(5, 11), draw.randint(3, 9)
    return (
        f"There are {3 * third} children in a class. One third of them walk to school and {bikes} children come by "
        "bicycle. All the others take the bus. How many children take the bus?"
    ), 2 * third - bikes


def _messages(draw: Random) -> tuple[str, int]:
    base, cents, n = draw.randint(8, 35), draw.choice((4, 8, 12, 20)), 25 * draw.randint(2, 16)
    return (
        f"A phone plan costs {base} dollars a month and {cents} cents for every message. "
        f"How many dollars does a month with {n} messages cost?"
    ), base + cents * n // 100


def _bottles(draw: Random) -> tuple[str, int]:
    each, minutes, hours = draw.randint(4, 30), draw.choice((2, 3, 4, 5, 6, 10)), draw.randint(2, 8)
    what = draw.choice(("bottles", "envelopes", "light bulbs", "jars"))
    return (
        f"A machine makes {each * minutes} {what} in {minutes} minutes. "
        f"How many {what} does it make in {hours} hours at the same speed?"
    ), each * 60 * hours


def _food(draw: Random) -> tuple[str, int]:
    grams, kilos = draw.choice((50, 100, 125, 200, 250)), 2 * draw.randint(1, 7)
    animal, holder = draw.choice((("dog", "bag"), ("cat", "sack"), ("rabbit", "box")))
    return (
        f"A {animal} eats {grams} grams of food every morning and the same amount every evening. "
        f"How many days does a {holder} with {kilos} kilograms of food last?"
    ), kilos * 1000 // (2 * grams)


def _coins(draw: Random) -> tuple[str, int]:
    who, quarters, dimes = someone(draw), draw.randint(3, 18), draw.randint(3, 25)
    return (
        f"{who} has {quarters} coins of 25 cents and {dimes} coins of 10 cents. "
        f"How many cents does {who.he} have in total?"
    ), 25 * quarters + 10 * dimes


def _two_parts(draw: Random) -> tuple[str, int]:
    who, fast, slow = someone(draw), draw.randint(70, 110), draw.randint(30, 60)
    a, b = draw.randint(2, 5), draw.randint(2, 4)
    return (
        f"{who} drives for {a} hours at {fast} kilometers per hour and then for {b} hours at {slow} kilometers per "
        f"hour. How many kilometers does {who.he} drive in total?"
    ), fast * a + slow * b


def _party(draw: Random) -> tuple[str, int]:
    people, juice, pizza = draw.randint(4, 8), draw.randint(2, 4), draw.randint(9, 16)
    fits = [(p, b) for p in range(2, 7) for b in range(2, 9) if (p * pizza + b * juice) % people == 0]
    pizzas, bottles = draw.choice(fits)
    return (
        f"{people} friends order {pizzas} pizzas for {pizza} dollars each and {bottles} bottles of juice for {juice} "
        "dollars each. They share the cost equally. How many dollars does each of the friends pay?"
    ), (bottles * juice + pizzas * pizza) // people


def _trip(draw: Random) -> tuple[str, int]:
    children, adults, ticket = draw.randint(18, 60), draw.randint(2, 6), draw.randint(5, 14)
    bus, left = 10 * draw.randint(12, 45), draw.randint(15, 220)
    return (
        f"A school has {bus + ticket * (children + adults) + left} dollars for a trip of {children} children and "
        f"{adults} adults. The bus costs {bus} dollars, and everyone, child or adult, needs a ticket for "
        f"{ticket} dollars. How many dollars are left in the end?"
    ), left


def _orchard(draw: Random) -> tuple[str, int]:
    rows, trees, each, box = (
        draw.randint(4, 12),
        draw.randint(5, 15),
        draw.randint(20, 60),
        draw.choice((8, 10, 12, 15)),
    )
    total = rows * trees * each
    boxes = draw.randint(total // box // 2, total // box - 2)
    what = draw.choice(("apples", "pears", "oranges", "lemons"))
    return (
        f"An orchard has {rows} rows of {trees} trees, and every tree gives {each} kilograms of {what}. "
        f"{total - boxes * box} kilograms are sold at once, and the rest is packed into boxes of {box} "
        "kilograms. How many boxes are filled?"
    ), boxes


def _paint(draw: Random) -> tuple[str, int]:
    side, high, tin = draw.randint(4, 9), draw.choice((2, 3)), draw.choice((6, 8, 9, 10))
    walls = 4 * side * high
    tins = (walls - 4) // tin
    return (
        f"A room has four walls, each {side} meters long and {high} meters high. Its windows and doors, which are not "
        f"painted, take up {walls - tins * tin} square meters. One can of paint covers {tin} square meters. "
        "How many cans are needed to paint the walls once?"
    ), tins


def _guests(draw: Random) -> tuple[str, int]:
    who, tables, seats = someone(draw), draw.randint(5, 14), draw.randint(2, 6)
    empty, drinks, price = draw.randint(2, 6), draw.randint(2, 3), draw.randint(2, 5)
    return (
        f"{who}'s restaurant has {tables} tables with {seats} chairs each. One evening {empty} chairs stay empty, and "
        f"every guest on one of the other chairs orders {drinks} drinks at {price} dollars each. "
        "How many dollars do all these drinks cost together?"
    ), (tables * seats - empty) * drinks * price


LONG_STORIES = (
    Form(_legs, "3", "counting"),
    Form(_departure, "3", "time"),
    Form(_party, "4", "sharing"),
    Form(_tickets, "3", "shopping"),
    Form(_wages, "3", "saving"),
    Form(_trip, "4", "shopping"),
    Form(_harvest, "3", "counting"),
    Form(_scores, "3", "averages"),
    Form(_orchard, "4", "proportions"),
    Form(_tiles, "3", "measures"),
    Form(_to_school, "3", "counting"),
    Form(_paint, "4", "measures"),
    Form(_messages, "3", "shopping"),
    Form(_bottles, "3", "proportions"),
    Form(_guests, "4", "shopping"),
    Form(_food, "3", "proportions"),
    Form(_coins, "3", "shopping"),
    Form(_two_parts, "3", "travel"),
)
