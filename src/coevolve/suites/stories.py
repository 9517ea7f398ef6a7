"""Word problems of grade school: situations in which numbers are drawn, and answers computed from these numbers.

The level of a situation is the number of its steps. Longer ones stand in ``long_stories.py``.
"""

from __future__ import annotations

from random import Random

from coevolve.suites.long_stories import LONG_STORIES
from coevolve.suites.questions import Form, mixed, several, someone


def _cost(draw: Random) -> tuple[str, int]:
    who, n, price = someone(draw), draw.randint(3, 14), draw.randint(3, 28)
    things = draw.choice(("notebooks", "T-shirts", "puzzles", "lunch boxes", "paperbacks"))
    return f"{who} buys {n} {things} at {price} dollars each. How many dollars does {who.he} pay?", n * price


def _taken(draw: Random) -> tuple[str, int]:
    who, a, b = someone(draw), draw.randint(70, 240), draw.randint(12, 65)
    things, place = draw.choice((("apples", "crate"), ("marbles", "jar"), ("beads", "box"), ("walnuts", "sack")))
    return (
        f"There are {a} {things} in a {place}. {who} takes out {b} of them. How many {things} are left in the {place}?"
    ), a - b


def _shared(draw: Random) -> tuple[str, int]:
    who, n, each = someone(draw), draw.randint(3, 12), draw.randint(4, 25)
    things = draw.choice(("stickers", "trading cards", "seashells", "postcards"))
    return (
        f"{who} gives {n * each} {things} to {n} friends. Every friend gets the same number of {things}. "
        f"How many {things} does each friend get?"
    ), each


def _rows(draw: Random) -> tuple[str, int]:
    place, things = draw.choice((("concert hall", "seats"), ("vineyard", "vines"), ("parking lot", "spaces")))
    rows, each = draw.randint(8, 35), draw.randint(7, 32)
    return f"A {place} has {rows} rows of {each} {things}. How many {things} does it have?", rows * each


def _distance(draw: Random) -> tuple[str, int]:
    vehicle, low, high = draw.choice((("train", 60, 160), ("bus", 45, 90), ("ship", 18, 40), ("cyclist", 12, 26)))
    speed, hours = draw.randint(low, high), draw.randint(2, 9)
    return (
        f"A {vehicle} travels for {hours} hours at a steady {speed} kilometers per hour. How many kilometers is that?"
    ), speed * hours


def _warmer(draw: Random) -> tuple[str, int]:
    low, rise = -draw.randint(2, 18), draw.randint(4, 24)
    place = draw.choice(("in the village", "on the mountain", "at the lake", "outside the cabin"))
    return (
        f"At dawn the temperature {place} was {low} degrees. By noon it had risen by {rise} degrees. "
        "What was the temperature at noon, in degrees?"
    ), low + rise


def _left_over(draw: Random) -> tuple[str, int]:
    who, k = someone(draw), draw.randint(6, 15)
    n = k * draw.randint(4, 16) + draw.randint(1, k - 1)
    things, holder = draw.choice(
        (("cookies", "bag"), ("eggs", "carton"), ("candles", "packet"), ("tennis balls", "tube"))
    )
    return (
        f"{who} packs {n} {things}, {k} to a {holder}, and fills as many {holder}s as {who.he} can. "
        f"How many {things} are left over?"
    ), n % k


def _change(draw: Random) -> tuple[str, int]:
    who, n, price, bill = someone(draw), draw.randint(2, 8), draw.randint(2, 6), draw.choice((50, 100))
    things = draw.choice(("pens", "sandwiches", "bus tickets", "packs of tea", "tulips"))
    return (
        f"{who} buys {n} {things} that cost {price} dollars each and pays with a {bill}-dollar bill. "
        f"How many dollars of change does {who.he} get?"
    ), bill - n * price


def _loose(draw: Random) -> tuple[str, int]:
    who, k, full = someone(draw), draw.choice((6, 8, 10, 12, 24)), draw.randint(4, 25)
    rest = draw.randint(2, k - 1)
    things, holder = draw.choice(
        (("eggs", "cartons"), ("crayons", "boxes"), ("bottles", "crates"), ("batteries", "packs"))
    )
    return (
        f"{who} counts {full} full {holder} with {k} {things} in each, and {rest} loose {things}. "
        f"How many {things} are there altogether?"
    ), k * full + rest


def _fence(draw: Random) -> tuple[str, int]:
    wide = draw.randint(6, 45)
    long = wide + draw.randint(2, 40)
    place = draw.choice(("garden", "playground", "meadow", "paddock"))
    return (
        f"A rectangular {place} is {long} meters long and {wide} meters wide. "
        "How many meters of fence are needed to go all the way around it?"
    ), 2 * (long + wide)


def _weeks(draw: Random) -> tuple[str, int]:
    who, have, more, n = someone(draw), draw.randint(15, 140), draw.randint(4, 25), draw.randint(4, 20)
    return (
        f"{who} has {have} dollars in a piggy bank and puts in {more} dollars every week. "
        f"How many dollars will be in the piggy bank after {n} weeks?"
    ), have + more * n


def _goal(draw: Random) -> tuple[str, int]:
    who, have, more, n = someone(draw), draw.randint(15, 120), draw.randint(6, 30), draw.randint(4, 18)
    thing = draw.choice(("bicycle", "guitar", "tent", "camera"))
    return (
        f"{who} wants to buy a {thing} for {have + more * n} dollars. {who.He} already has {have} dollars and saves "
        f"{more} dollars every week. After how many weeks will {who.he} have exactly enough money?"
    ), n


def _bus(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(22, 55), draw.randint(4, 20), draw.randint(3, 24)
    vehicle, stop = draw.choice((("bus", "stop"), ("tram", "stop"), ("ferry", "harbor")))
    return (
        f"A {vehicle} sets off with {a} passengers. At the first {stop} {b} of them get off and {c} other people get "
        f"on. How many passengers are on the {vehicle} now?"
    ), a - b + c


def _pages(draw: Random) -> tuple[str, int]:
    who, a_day, days, left = someone(draw), draw.randint(12, 40), draw.randint(3, 9), draw.randint(15, 180)
    return (
        f"{who} is reading a book of {a_day * days + left} pages. {who.He} has read {a_day} pages a day for {days} "
        f"days. How many pages does {who.he} still have to read?"
    ), left


def _film(draw: Random) -> tuple[str, int]:
    hours, minutes = draw.randint(2, 5), draw.randint(5, 55)
    what = draw.choice(("A hike", "An opera", "A flight", "A bus ride", "A chess game"))
    return f"{what} lasts {hours} hours and {minutes} minutes. How many minutes is that?", 60 * hours + minutes


def _loan(draw: Random) -> tuple[str, int]:
    weeks, days = draw.randint(2, 9), draw.randint(2, 6)
    what = draw.choice(("A summer camp", "A sailing trip", "An exhibition", "A building job"))
    return f"{what} lasts {weeks} weeks and {days} days. How many days is that altogether?", 7 * weeks + days


def _sale(draw: Random) -> tuple[str, int]:
    thing, off = draw.choice(("coat", "lamp", "suitcase", "keyboard")), draw.choice((10, 15, 20, 25, 30, 40))
    full = 20 * draw.randint(2, 12)
    return (
        f"A {thing} normally costs {full} dollars. In a sale its price is reduced by {off} percent. "
        "How many dollars does it cost in the sale?"
    ), full * (100 - off) // 100


def _recipe(draw: Random) -> tuple[str, int]:
    n, each, k = draw.choice((6, 8, 10, 12)), draw.randint(15, 40), draw.randint(2, 7)
    what = draw.choice(("pancakes", "waffles", "muffins", "dumplings"))
    return (
        f"A recipe for {n} {what} needs {n * each} grams of flour. "
        f"How many grams of flour are needed for {n * k} {what} of the same kind?"
    ), n * each * k


def _tank(draw: Random) -> tuple[str, int]:
    inside, rate, minutes = 5 * draw.randint(4, 30), draw.randint(6, 25), draw.randint(8, 40)
    what = draw.choice(("water tank", "pool", "rain barrel"))
    return (
        f"A {what} can hold {inside + rate * minutes} liters and already contains {inside} liters. "
        f"A hose adds {rate} liters every minute. After how many minutes is it full?"
    ), minutes


def _as_many(draw: Random) -> tuple[str, int]:
    (one, other), n, k = several(draw, 2), draw.randint(6, 40), draw.randint(3, 7)
    things = draw.choice(("marbles", "stamps", "toy cars", "comic books"))
    return (
        f"{one} has {n} {things}. {other} has {k} times as many {things} as {one}. "
        f"How many {things} do they have together?"
    ), n + k * n


def _older(draw: Random) -> tuple[str, int]:
    (one, other), age, k, years = several(draw, 2), draw.randint(5, 12), draw.randint(3, 6), draw.randint(3, 15)
    return (
        f"{one} is {age} years old. {one.His} neighbor {other} is {k} times as old. "
        f"How old will {other} be in {years} years?"
    ), age * k + years


def _buses(draw: Random) -> tuple[str, int]:
    seats = draw.randint(24, 55)
    people = seats * draw.randint(2, 8) + draw.randint(1, seats - 1)
    who = draw.choice(("pupils", "fans", "hikers", "musicians"))
    return (
        f"{people} {who} travel by bus. Every bus has {seats} seats, and every person needs a seat. "
        "What is the smallest number of buses that they need?"
    ), -(-people // seats)


def _profit(draw: Random) -> tuple[str, int]:
    who, n, price = someone(draw), draw.randint(12, 60), draw.randint(2, 7)
    paid = draw.randint(n, n * price - 5)
    things = draw.choice(("used books", "flower pots", "posters", "key rings"))
    return (
        f"{who} buys {n} {things} for {paid} dollars in total and sells all of them at {price} dollars each. "
        f"How many dollars of profit does {who.he} make?"
    ), n * price - paid


def _meet(draw: Random) -> tuple[str, int]:
    a, b, hours = draw.randint(12, 24), draw.randint(12, 24), draw.randint(2, 6)
    return (
        f"Two towns are {(a + b) * hours} kilometers apart. Two cyclists leave at the same time, one from each town, "
        f"and ride towards each other on the same road, one at {a} and the other at {b} kilometers per hour. "
        "After how many hours do they meet?"
    ), hours


def _eaten(draw: Random) -> tuple[str, int]:
    rows, each, gone = draw.randint(6, 20), draw.randint(8, 25), draw.randint(7, 40)
    what, by = draw.choice((("tulips", "rabbits"), ("cabbages", "snails"), ("lettuces", "deer"), ("carrots", "mice")))
    return (
        f"A gardener plants {rows} rows of {each} {what}. Then {by} eat {gone} of the {what}. How many {what} remain?"
    ), rows * each - gone


def _bakeries(draw: Random) -> tuple[str, int]:
    few, more, days = draw.randint(60, 180), draw.randint(8, 70), draw.randint(4, 20)
    place, what = draw.choice((("bakery", "loaves"), ("dairy", "cheeses"), ("workshop", "chairs")))
    return (
        f"The {place} on Mill Street makes {few + more} {what} a day, and the one on Park Street makes {few} a day. "
        f"How many more {what} does the one on Mill Street make in {days} days?"
    ), more * days


def _together(draw: Random) -> tuple[str, int]:
    (one, other), a, b = several(draw, 2), draw.randint(14, 95), draw.randint(14, 95)
    things = draw.choice(("postcards", "shells", "coins", "pencils", "badges"))
    return f"{one} has {a} {things}, and {other} has {b}. How many {things} do the two of them have in total?", a + b


def _taller(draw: Random) -> tuple[str, int]:
    (one, other), a, more = several(draw, 2), draw.randint(121, 168), draw.randint(3, 29)
    return (
        f"{one} is {a + more} centimeters tall, and {other} is {a} centimeters tall. "
        f"By how many centimeters is {one} taller?"
    ), more


def _dearer(draw: Random) -> tuple[str, int]:
    price, k = draw.randint(6, 45), draw.randint(3, 9)
    small, large = draw.choice((("chair", "sofa"), ("radio", "television"), ("scooter", "motorbike"), ("cup", "vase")))
    return (
        f"A {small} costs {price} dollars, and a {large} costs {k} times as much. What does the {large} cost?",
        k * price,
    )


def _daily(draw: Random) -> tuple[str, int]:
    who, n, days = someone(draw), draw.randint(4, 35), draw.randint(5, 28)
    what = draw.choice(("does {} push-ups", "learns {} words of Spanish", "swims {} lengths", "answers {} letters"))
    things = what.split("{} ")[1]
    return f"{who} {what.format(n)} every day. How many {things} is that in {days} days?", n * days


def _gained(draw: Random) -> tuple[str, int]:
    had, more = draw.randint(85, 640), draw.randint(12, 75)
    place, things = draw.choice((("library", "books"), ("zoo", "animals"), ("village", "houses"), ("choir", "singers")))
    return (
        f"A {place} had {had} {things} last year and has {more} more now. How many {things} does it have now?",
        had + more,
    )


_SHORT = (
    Form(_cost, "1", "shopping"),
    Form(_change, "2", "shopping"),
    Form(_taken, "1", "counting"),
    Form(_loose, "2", "counting"),
    Form(_fence, "2", "measures"),
    Form(_shared, "1", "sharing"),
    Form(_weeks, "2", "saving"),
    Form(_goal, "2", "saving"),
    Form(_rows, "1", "counting"),
    Form(_bus, "2", "counting"),
    Form(_pages, "2", "counting"),
    Form(_distance, "1", "travel"),
    Form(_film, "2", "time"),
    Form(_loan, "2", "time"),
    Form(_warmer, "1", "measures"),
    Form(_sale, "2", "shopping"),
    Form(_recipe, "2", "proportions"),
    Form(_tank, "2", "measures"),
    Form(_left_over, "1", "sharing"),
    Form(_as_many, "2", "counting"),
    Form(_older, "2", "ages"),
    Form(_buses, "2", "sharing"),
    Form(_profit, "2", "shopping"),
    Form(_meet, "2", "travel"),
    Form(_eaten, "2", "counting"),
    Form(_bakeries, "2", "counting"),
    Form(_together, "1", "counting"),
    Form(_taller, "1", "measures"),
    Form(_dearer, "1", "shopping"),
    Form(_daily, "1", "time"),
    Form(_gained, "1", "counting"),
)

# Half of them have one step, so that a model of a few hundred million weights can be told from one that knows nothing.
STORIES = mixed([*_SHORT, *LONG_STORIES], "1213121412" * 42)
