"""The clauses of a station: numbers, times and prices, with few other words.

It is a narrow world next to the phrases of `grammar`: a policy that has read these sentences, but has heard hardly any
of their numbers, can learn them from little speech.
"""

from .clause import clause
from .people import CITIES, DAYS, NUMBERS
from .words import Entry, phrases

_UNITS = phrases("""
deux = two
trois = three
quatre = four
cinq = five
six = six
sept = seven
huit = eight
neuf = nine
""")
_TEENS = phrases("""
dix = ten
onze = eleven
douze = twelve
treize = thirteen
quatorze = fourteen
quinze = fifteen
seize = sixteen
dix-sept = seventeen
dix-huit = eighteen
dix-neuf = nineteen
""")
_TENS = phrases("""
vingt = twenty
trente = thirty
quarante = forty
cinquante = fifty
soixante = sixty
""")
TO_69 = [
    *_TEENS,
    *_TENS,
    *(Entry(f"{ten.fr}-{unit.fr}", f"{ten.en}-{unit.en}") for ten in _TENS for unit in _UNITS),
]
MINUTES = [number for number in TO_69 if not number.en.startswith("sixty")]
TIMES = [Entry(f"{hour.fr} heures {minute.fr}", f"{hour.en} {minute.en}") for hour in NUMBERS for minute in MINUTES]
FRUIT = phrases("""
pommes = apples
poires = pears
oranges = oranges
tomates = tomatoes
""")

STATION = [
    clause("le train de {time} pour {city} part du quai {n}.",
           "the {time} train to {city} leaves from platform {n}.", time=TIMES, city=CITIES, n=NUMBERS),
    clause("le bus de {city} arrive à {time}.", "the bus from {city} arrives at {time}.", city=CITIES, time=TIMES),
    clause("le train pour {city} part {day} à {time}.",
           "the train to {city} leaves on {day} at {time}.", city=CITIES, day=DAYS, time=TIMES),
    clause("un billet pour {city} coûte {price} euros.",
           "a ticket to {city} costs {price} euros.", city=CITIES, price=TO_69),
    clause("{n} billets pour {city} coûtent {price} euros.",
           "{n} tickets to {city} cost {price} euros.", n=NUMBERS, city=CITIES, price=TO_69),
    clause("cela fait {price} euros et {cents} centimes.",
           "that is {price} euros and {cents} cents.", price=TO_69, cents=TO_69),
    clause("le vol {flight} pour {city} a {late} minutes de retard.",
           "flight {flight} to {city} is {late} minutes late.", flight=TO_69, city=CITIES, late=MINUTES),
    clause("il reste {seats} places dans le train de {time}.",
           "there are {seats} seats left on the {time} train.", seats=TO_69, time=TIMES),
    clause("le prochain train pour {city} part dans {wait} minutes.",
           "the next train to {city} leaves in {wait} minutes.", city=CITIES, wait=MINUTES),
    clause("vous avez la place {seat} dans la voiture {n}.",
           "you have seat {seat} in car {n}.", seat=TO_69, n=NUMBERS),
    clause("le voyage de {city} à {other} dure {time}.",
           "the trip from {city} to {other} takes {time}.", city=CITIES, other=CITIES, time=[
               Entry(f"{hour.fr} heures et {minute.fr} minutes", f"{hour.en} hours and {minute.en} minutes")
               for hour in NUMBERS for minute in MINUTES]),
    clause("{weight} kilos de {fruit} coûtent {price} euros.",
           "{weight} kilos of {fruit} cost {price} euros.", weight=NUMBERS, fruit=FRUIT, price=TO_69),
    clause("mettez les valises dans la chambre {room} avant {time}.",
           "put the suitcases in room {room} before {time}.", room=TO_69, time=TIMES),
    clause("le musée ferme à {time} le {day}.",
           "the museum closes at {time} on {day}s.", time=TIMES, day=DAYS),
]
"""The sentences of the demo: announcements, tickets, seats and prices."""
