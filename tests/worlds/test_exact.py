"""What the exact solver of the open world answers, and of what it says nothing: no wrong truth, rather none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from coevolve.evaluation.scoring import is_right, solves
from coevolve.suites.registry import find
from coevolve.worlds.open.exact.answer import true_answer
from coevolve.worlds.open.exact.text import plain

NUMBERS = {
    # sums, differences, products, quotients
    "What is the sum of 36 and 24?": "60",
    "What is the sum of 12, 15, and 20?": "47",
    "Find the sum of the numbers 3, 9 and 27.": "39",
    "Multiply the sum of 37 and 68 by 2.": "210",
    "Multiply the sum of 17, 38, and 64 by 7.": "833",
    "Add the product of 2 and 3 to 4.": "10",
    "What is the total of 5, 6 and 7?": "18",
    "What is 5 more than 12?": "17",
    "What is 5 less than 12?": "7",
    "What is 17 plus 25?": "42",
    "What's 17 plus 25?": "42",
    "what is 1,234 + 5,678": "6912",
    "What is the difference between 36 and 24?": "12",
    "Find the difference of 100 and 37.": "63",
    "What is 24 subtracted from 36?": "12",
    "What is the product of 37 and 97?": "3589",
    "What is the product of 2, 3, and 7?": "42",
    "What is 12 multiplied by 12?": "144",
    "12 x 12 = ?": "144",
    "3 × 4": "12",
    "What is 144 divided by 12?": "12",
    "What is 17 divided by 4?": "17/4",
    "What is the quotient of 84 and 7?": "12",
    "What is the quotient when 84 is divided by 7?": "12",
    "Calculate 12 * (3 + 4).": "84",
    "Calculate: 12 * (3 + 4)": "84",
    "Compute 7 - 10.": "-3",
    "Evaluate 2(3 + 4).": "14",
    "Evaluate the expression (8 - 3) * (2 + 1).": "15",
    "Find the value of 71 - (33 - 46) * 3 + 39 - 64.": "85",
    "What is the result of 6 * 7?": "42",
    "What is 8 / 4 / 2?": "1",
    "What is 10 - 4 - 3?": "3",
    "What is 0.1 + 0.2?": "3/10",
    "What is 2.5 * 4?": "10",
    "What is -5 + 3?": "-2",
    "What is 5 - -3?": "8",
    "What is 3/4 + 1/8?": "7/8",
    r"What is $\frac{3}{4} + \frac{1}{8}$?": "7/8",
    r"Compute $7 \times 8$.": "56",
    r"Compute \(12 \div 4\).": "3",
    "What is 12 times 5 plus 3?": "63",
    "What is twenty-five plus seventeen?": "42",
    "What is one hundred twenty-three times four?": "492",
    "What is two thousand minus three hundred five?": "1695",
    # remainders, divisors, multiples
    "What is the remainder when 26505 is divided by 21?": "3",
    "Find the remainder when dividing 152 by 11.": "9",
    "Find the remainder of 100 divided by 7.": "2",
    "What is the remainder of 17 / 5?": "2",
    "What is the remainder if 29 is divided by 6?": "5",
    "What is 17 mod 5?": "2",
    "What is the greatest common divisor of 24 and 18?": "6",
    "What is the GCD of 24 and 18?": "6",
    "Find the greatest common factor of 12, 18 and 30.": "6",
    "What is the highest common factor of 28 and 42?": "14",
    "Compute gcd(48, 36).": "12",
    "What is the least common multiple of 4, 6, and 10?": "60",
    "What is the LCM of 8 and 12?": "24",
    "What is the largest prime factor of 84?": "7",
    "What is the number of divisors of 12?": "6",
    "How many times does 21 go into 441?": "21",
    "How many times can 7 go into 91?": "13",
    "What is the largest number that divides both 48 and 84?": "12",
    # powers and roots
    "What is the square of 13?": "169",
    "What is 13 squared?": "169",
    "What is 13²?": "169",
    "What is the cube of 5?": "125",
    "What is 2^10?": "1024",
    "What is 2**10?": "1024",
    "What is 2 to the power of 10?": "1024",
    "What is 2 raised to the power of 5?": "32",
    "What is the square root of 144?": "12",
    r"What is $\sqrt{144}$?": "12",
    "What is √144?": "12",
    "What is the cube root of 27?": "3",
    "What is sqrt(1/4)?": "1/2",
    "What is 5!?": "120",
    "What is the factorial of 5?": "120",
    "What is the sum of the squares of 3 and 4?": "25",
    "What is the square of the sum of 3 and 4?": "49",
    "What is the difference between the squares of 5 and 3?": "16",
    "What is the sum of 3 and the product of 4 and 5?": "23",
    # shares
    "What is 15% of 80?": "12",
    "What is 15 percent of 80?": "12",
    "What is 20% more than 50?": "60",
    "What is 20% less than 50?": "40",
    "What is 50 increased by 20%?": "60",
    "What is half of 90?": "45",
    "What is two-thirds of 90?": "60",
    "What is 3/4 of 80?": "60",
    "What is one quarter of 60?": "15",
    "What is twice the sum of 3 and 4?": "14",
    "What is three times the difference between 10 and 4?": "18",
    # lists
    "What is the average of 3, 5, and 10?": "6",
    "Find the mean of 80, 90 and 100.": "90",
    "What is the arithmetic mean of 4 and 7?": "11/2",
    "Find the median of the numbers 3, 9, 5.": "5",
    "What is the median of the data set {2, 4, 6, 10}?": "5",
    "What is the mode of 2, 3, 3, 5?": "3",
    "What is the range of 4, 9 and 15?": "11",
    "What is the largest of 4, 9 and 15?": "15",
    "What is the sum of the first 10 odd numbers?": "100",
    "What is the sum of the first 10 even numbers?": "110",
    "What is the sum of the first 100 positive integers?": "5050",
    "What is the sum of the first 5 prime numbers?": "28",
    "What is the sum of all integers from 1 to 100?": "5050",
    "What is the sum of all numbers between 1 and 10, inclusive?": "55",
    "What is the sum of the digits of 1234?": "10",
    # orders
    "Multiply 12 by 5 and add 3 to the result. What do you get?": "63",
    "Add 12 and 8, then divide the result by 4.": "5",
    "Subtract 17 from 50.": "33",
    "What do you get when you add 17, 38 and 64?": "119",
    "Add 148 to 275, then double the result. What number do you get?": "846",
    "How much larger is 903 than 458?": "445",
    "If you add 5 and 7, what do you get?": "12",
    "What do you get when you multiply 6 by 7?": "42",
    "What is the result when 6 is multiplied by 7?": "42",
    "What is the result of adding 15 and 27?": "42",
    "By how much is 50 larger than 38?": "12",
    "What number must be added to 17 to get 42?": "25",
    "Please calculate 3 + 4. Give your answer as an integer.": "7",
    "Question: What is 3 + 4?": "7",
}
EQUATIONS = {
    "If 3x + 5 = 20, what is x?": "5",
    "If 3x + 5 = 20, then what is the value of x?": "5",
    "Solve for x: 2x - 7 = 11": "9",
    "Solve 3x + 5 = 20.": "5",
    "Solve the equation 4y = 10 for y.": "5/2",
    "What is the value of x in the equation 2x + 3 = 9?": "3",
    "Find x if 2(x + 3) = 16.": "5",
    "If x/4 = 5, what is x?": "20",
    r"Solve for $x$: $\frac{x}{3} + 1 = 4$": "9",
    "If x = 5, what is 3x^2 - 2x + 1?": "66",
    "If 2x = 10, what is 3x + 1?": "16",
    "If x + y = 10 and x - y = 2, what is x?": "6",
    "If x + y = 10 and x - y = 2, find x * y.": "24",
    "If f(x) = 3x + 2, what is f(4)?": "14",
    "Given 5n - 3 = 2n + 9, find n.": "4",
}
MEASURES = {
    "What is the area of a rectangle with length 5 cm and width 3 cm?": "15",
    "What is the area of a rectangle with a length of 5 and a width of 3?": "15",
    "A rectangle has a length of 8 meters and a width of 5 meters. What is its perimeter?": "26",
    "A rectangular garden is 12 meters long and 8 meters wide. What is the area of the garden?": "96",
    "Find the perimeter of a rectangle with sides 6 and 9.": "30",
    "What is the area of a square with side length 7?": "49",
    "What is the perimeter of a square with a side of 6 cm?": "24",
    "What is the side length of a square with an area of 81?": "9",
    "What is the area of a triangle with base 10 and height 6?": "30",
    "What is the perimeter of a triangle with sides 3, 4 and 5?": "12",
    "What is the hypotenuse of a right triangle with legs 3 and 4?": "5",
    "What is the volume of a cube with side length 3?": "27",
    "What is the volume of a rectangular box with length 4, width 3 and height 2?": "24",
    "What is the area of a circle with radius 3 in terms of pi?": r"9\pi",
    "What is the circumference of a circle with diameter 10 in terms of π?": r"10\pi",
    "How many minutes are in 3 hours?": "180",
    "How many minutes are there in 2 hours and 15 minutes?": "135",
    "How many seconds are in an hour?": "3600",
    "How many days are in 3 weeks?": "21",
    "Convert 3 kilometers to meters.": "3000",
    "Convert 90 minutes to hours.": "3/2",
    "How many inches are in 5 feet?": "60",
    "How many cents are in 4 dollars?": "400",
    "How many quarts are in 3 gallons?": "12",
}
STORIES = {
    "Sarah has 24 apples. She gives 8 apples to her friend. How many apples does she have left?": "16",
    "Tom has 12 marbles and buys 7 more marbles. How many marbles does Tom have now?": "19",
    "Tom has 12 marbles. He buys 7 more and then gives 3 to his brother. How many marbles does he have left?": "16",
    "A farmer has 15 cows. He sells 6 cows and buys 4 more cows. How many cows does he have now?": "13",
    "Lisa has 15 candies. Her brother gives her 6 more. How many candies does Lisa have now?": "21",
    "A pizza is cut into 8 slices. John eats 3 slices. How many slices are left?": "5",
    "There are 12 birds on a tree. 5 fly away. How many birds are left?": "7",
    "A store has 45 shirts. 12 shirts are sold. How many shirts are left?": "33",
    "A box contains 12 pens. How many pens are in 5 boxes?": "60",
    "There are 5 boxes with 12 pens in each box. How many pens are there in total?": "60",
    "There are 5 boxes. Each box contains 12 pens. How many pens are there in total?": "60",
    "A baker has 5 trays, each with 12 muffins. How many muffins does the baker have?": "60",
    "Maria has 24 cookies and wants to share them equally among 6 friends. How many cookies will each friend get?": "4",
    "24 cookies are shared equally among 6 children. How many cookies does each child get?": "4",
    "A train travels at 60 miles per hour for 3 hours. How far does it travel?": "180",
    "If a train travels at a speed of 60 miles per hour for 3 hours, how many miles will it travel?": "180",
    "A car travels 240 miles in 4 hours. What is its average speed?": "60",
    "If 5 pens cost $10, how much does one pen cost?": "2",
    "If 4 pens cost $12, how much do 7 pens cost?": "21",
    "Each notebook costs $4. How much do 6 notebooks cost?": "24",
    "Emma buys 3 notebooks for $4 each and pays with a $20 bill. How much change does she get?": "8",
    "Lily buys 3 pens for $2 each and 2 books for $5 each. How much does she spend in total?": "16",
    "A shirt costs $40. It is on sale for 25% off. What is the sale price?": "30",
    "A bat and a ball cost $1.10. The bat costs $1.00 more than the ball. How much does the ball cost?": "1/20",
    "There are 30 students in a class. 18 are girls. How many are boys?": "12",
    "John is 5 years older than Mary. Mary is 12 years old. How old is John?": "17",
    "Tom reads 12 pages a day. How many pages does he read in 7 days?": "84",
    "A train travels 85 kilometers every hour. How many kilometers does it travel in 6 hours?": "510",
    "A garden has 12 rows with 9 tomato plants each. Frost kills 17 plants. How many plants are left?": "91",
    "A bus leaves with 38 people. At the first stop 12 people get off and 9 get on. How many people are on the bus "
    "now?": "35",
    "Omar has 75 stickers. He keeps 15 and shares the rest equally among 4 friends. How many stickers does each friend "
    "get?": "15",
    "Tom buys 7 pens for 3 dollars each and pays with a 50 dollar bill. How many dollars does he get back?": "29",
    "A notebook costs 3 dollars and a pen costs 2 dollars. Mia buys 4 notebooks and 5 pens. How many dollars does she "
    "pay?": "22",
    "Anna earns $15 per hour. How much does she earn in 8 hours?": "120",
    # what is asked for comes first
    "How many pages does Lena read in 14 days if she reads 5 pages every day?": "70",
    "How many chairs does a workshop make in 9 days if it makes 7 chairs per day?": "63",
    "How many shells do Ben and Ida have together if Ben has 20 shells and Ida has 10?": "30",
    "How many people live in two villages if one has 16 people and the other has 25 people?": "41",
    "How many apples and pears are in a basket with 14 apples and 16 pears?": "30",
    "How many dollars do 12 tickets cost if each ticket costs $5.50?": "66",
    "How many dollars does Mia pay for 24 eggs if one egg costs 2 dollars?": "48",
    "How many liters are left in a tank of 800 liters after 20 liters of water are removed?": "780",
    "How many pages are left in a book of 312 pages after reading 12 pages?": "300",
    "How many stamps are left if Tom has 95 stamps and gives away 5 more to his wife?": "90",
}
NOTHING = (
    # no meaning
    "How many times does 21 repeat?",
    "How many times larger is 1.3 than 1.6?",
    "How many times larger is 12 than 4?",
    "What is the remainder of 15?",
    "What is the sum of 12?",
    "What is the number?",
    "What is the product of a bat and a ball?",
    "How many apples are there?",
    "Hello, World",
    "",
    "?",
    "What is 5 +?",
    "What is (3 + 4?",
    # more than one reading
    "What is 3 plus 4 times 5?",
    "What is the sum of 3 and 4 times 5?",
    "What is the product of 3 and 4 plus 5?",
    "What is the square root of 16 plus 9?",
    "What is the square root of 1/4?",
    "What is 10% of 50 + 20?",
    "What is half of 10 plus 4?",
    "What is the difference between 5 and 8?",
    "What is the quotient of 17 and 5?",
    "What is 6/2(1+2)?",
    "Multiply 28 by 10 + 28.",
    "What is -3^2?",
    "What is 2^3^2?",
    "What is 2 1/2 + 1?",
    "What is 2½ + 1?",
    r"What is $2\frac{1}{2} + 1$?",
    "What is the sum of the first 10 whole numbers?",
    "What is the sum of all numbers between 1 and 10?",
    "What is the mode of 2, 3 and 5?",
    "What is the mean of 3,100,200 and 5?",
    "What is the ratio of 3 to 4?",
    "What is the next number in the sequence 2, 4, 6?",
    "What is 20 % 7?",
    # no exact answer, or one of a certain number of digits
    "What is the square root of 2?",
    "What is 10 divided by 3, rounded to two decimal places?",
    "What is the area of a circle with radius 3?",
    "What is the volume of a sphere with radius 3?",
    "Estimate 49 * 51.",
    "What is 5 divided by 0?",
    "What is the remainder when 5 is divided by 0?",
    "What is 0^0?",
    "What is the square root of -4?",
    # too large
    "What is 2^1000?",
    "What is 9^9^9^9?",
    "What is 1000!?",
    "What is " + "9" * 500 + "?",
    "x = " * 140 + "1",
    "If x = 1 and " * 45 + "what is x?",
    "What is " + "the sum of 1 and " * 30 + "2?",
    "what is " + "a " * 290,
    "$" * 590,
    "What is 99999999999999999999 + 1?",
    "What is the sum of the first 999999999 odd numbers?",
    "What is " + "(" * 100 + "1" + ")" * 100 + "?",
    "What is " + "1 + " * 300 + "1?",
    # equations that determine nothing, or not one thing
    "If x^2 = 49, what is x?",
    "If x + y = 10, what is x?",
    "If x = 5, what is y?",
    "If x + 1 = x, what is x?",
    "If x = 2 and x = 3, what is x?",
    "Solve x + y = 10.",
    # shapes
    "What is the area of a rectangle with length 5?",
    "What is the area of a rectangle with length 5 cm and width 3 m?",
    "What is the perimeter of a triangle with sides 1, 2 and 9?",
    "What is the area of a rectangle?",
    "How many days are in a year?",
    "How many days are in 3 months?",
    "Convert 3 kilometers to miles.",
    "Convert 3 kilograms to meters.",
    "A notebook costs 3 dollars and a pen costs 2 dollars. Mia buys 4 pens and 5 notebooks. How much does she pay?",
    "A garden has 12 rows with 9 tomato plants each. Frost kills 17 roses. How many plants are left?",
    "A bus leaves with 8 people. At the first stop 12 people get off and 9 get on. How many people are on the bus now?",
    # stories that say too little, too much, or speak of somebody else
    "How many pages does Lena read in 14 days if she reads 5 pages per hour?",
    "How many dollars does Omar save in 30 weeks if he saves 8 dollars every day?",
    "How many chairs does a workshop make in 9 days if it makes 2 chairs?",
    "How many shells do Ben and Ida have together if Ida has 20 shells and Tom has 10?",
    "How many shells do Ben and Ida have together if Ben has 20 shells and Ida has 10 stones?",
    "How many people live in two villages if one has 8, one has 4, and the other has 10 people?",
    "How many apples and pears are in a basket with 14 apples and 16 plums?",
    "How many dollars do 7 pens cost if one pen costs 10 cents?",
    "How many liters are left in a tank of 800 liters after 2000 liters are removed?",
    "How many pages are left in a book of 312 pages after reading it?",
    "How many stamps are left if Tom has 95 stamps and 5 more are left?",
    "Sam has 24 apples and buys 32 more. How many?",
    "Tom has 3 apples. He buys 2 oranges. How many apples does he have?",
    "Tom has 5 apples. Mary buys 3 more apples. How many apples does Tom have?",
    "Tom has 12 marbles. He gives 5 to Mary. How many marbles does she have left?",
    "Tom has 5 apples. He eats 8 apples. How many apples does he have left?",
    "There are 30 students in a class. 18 are girls. How many are girls?",
    "There are 5 boxes with 12 pens. How many pens are there?",
    "A train travels 60 mph for 3 hours. How many kilometers does it travel?",
    "Maria has 24 cookies and shares them equally with 5 friends. How many cookies does each friend get?",
    "Maria has 25 cookies and wants to share them equally among 6 friends. How many cookies will each friend get?",
    "Tom reads 12 pages a day. How many pages does he read in 7 weeks?",
    "John is 5 years older than Mary. John is 12 years old. How old is John?",
    "John is 5 years older than Mary. How old is John?",
    "Emma buys 3 notebooks for $4. How much does she spend?",
    "Emma buys 9 notebooks for $4 each and pays with a $20 bill. How much change does she get?",
    "A bat and a ball cost $1.10 in total. The bat costs $1.00 more than the ball. How much does the bat cost?",
    "A car is faster than a bus. The bus drives 50 miles. How far does the car drive?",
    "There are 3 red balls and 5 blue balls. What is the probability of a red ball?",
)  # fmt: skip


@pytest.mark.parametrize(
    "cases", [NUMBERS, EQUATIONS, MEASURES, STORIES], ids=["numbers", "equations", "measures", "stories"]
)
def test_what_is_understood_has_its_true_answer(cases: dict[str, str]) -> None:
    assert {question: true_answer(question) for question in cases} == cases


def test_of_what_is_not_sure_nothing_is_said() -> None:
    assert {question: true_answer(question) for question in NOTHING} == dict.fromkeys(NOTHING)


def test_the_table_is_large_enough_to_mean_something() -> None:
    assert len(NUMBERS) + len(EQUATIONS) + len(MEASURES) + len(STORIES) >= 150
    assert len(NOTHING) >= 50


@pytest.mark.parametrize(
    ("spec", "least"),
    [("sums", 200), ("word-problems", 10)],
)
def test_no_answer_to_a_question_of_a_suite_is_wrong(spec: str, least: int) -> None:
    problems = find(spec).load().problems
    answers = [(problem, true_answer(problem.task.question)) for problem in problems]
    known = [(problem, answer) for problem, answer in answers if answer is not None]
    assert [problem.task.question for problem, answer in known if not solves(answer, problem)] == []
    assert len(known) >= least


def test_answers_are_such_as_the_judge_compares() -> None:
    assert is_right("0.75", true_answer("What is 3/8 + 3/8?"))
    assert is_right("12 dollars", true_answer("What is 15% of 80?"))
    assert is_right(r"\frac{1}{20}", true_answer("What is 5/100?"))
    assert is_right(r"9\pi", true_answer("What is the area of a circle with radius 3 in terms of pi?"))
    assert not is_right("18", true_answer("What is the greatest common divisor of 24 and 18?"))


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("seventeen", "17"),
        ("ninety nine", "99"),
        ("three hundred five", "305"),
        ("two thousand three hundred forty-one", "2341"),
        ("five million", "5000000"),
        ("twenty thirty", "twenty thirty"),
        ("hundred", "hundred"),
        ("one one", "one one"),
        ("two-thirds", "(2/3)"),
        ("one half", "(1/2)"),
        ("$1,200.50", "1200.50 dollars"),
        ("3 x 4", "3 * 4"),
    ],
)
def test_numbers_in_words_become_digits(words: str, digits: str) -> None:
    assert plain(words) == digits


def test_nothing_of_a_question_is_run_as_a_program() -> None:
    folder = Path(__file__).parents[2] / "src/coevolve/worlds/open/exact"
    for path in folder.glob("*.py"):
        names = {
            node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)
        }
        assert not names & {"eval", "exec", "compile", "__import__"}
    script = (
        "import sys; from coevolve.worlds.open.exact.answer import true_answer\n"
        "print(true_answer('What is __import__(\"os\").getpid()?'), sorted({'torch', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None []"
