"""The clauses of a journey: hotel, restaurant, directions, transport."""

from .clause import clause
from .lexicon import (
    CALM,
    COLORS,
    DEVICES,
    DISHES,
    FEATURES,
    FILLINGS,
    FOOD_STATES,
    LODGINGS,
    PLACES,
    ROOM_KINDS,
    ROOM_THINGS,
    SCHEDULED,
    SIZES,
    STAPLES,
)
from .people import (
    CITIES,
    CLOCK,
    DAYS,
    FULL_HOURS,
    NEAR,
    NOW,
    NUMBERS,
    ORDINALS,
    OTHERS,
    PARTS_OF_DAY,
    PEOPLE,
    SPOTS,
    TENS,
)
from .verbs import LOOK
from .words import described, only, phrases

WAYS = phrases("""
à gauche = on the left
à droite = on the right
""")
TURNS = phrases("""
tournez à gauche = turn left
tournez à droite = turn right
arrêtez la voiture = stop the car
traversez la rue = cross the street
attendez le bus = wait for the bus
""")
WHERE_TO_TURN = phrases("""
avant = before
après = after
devant = in front of
derrière = behind
""")
BY = phrases("""
à pied = on foot
en bus = by bus
en taxi = by taxi
en voiture = by car
à vélo = by bike
""")
SERVINGS = phrases("""
un verre de vin = a glass of wine
un verre de lait = a glass of milk
une bouteille de bière = a bottle of beer
une bouteille d'eau = a bottle of water
une tasse de thé = a cup of tea
une tasse de café = a cup of coffee
un jus de pomme = an apple juice
""")
MEALS = phrases("""
le petit déjeuner = breakfast
le déjeuner = lunch
le dîner = dinner
""")
TICKETS = phrases("""
un aller simple = a one-way ticket
un aller-retour = a round-trip ticket
deux billets = two tickets
trois places = three seats
""")
SAVORY = only(DISHES, "soup salad omelet sandwich pie")
STAYS = described(LODGINGS, CALM[:3] + SIZES)

HOTEL = [
    clause("{who} {who.voudrait} réserver {room.un} pour {n} nuits.",
           "{who} would like to reserve {room.a} for {n} nights.", who=PEOPLE, room=ROOM_KINDS, n=NUMBERS),
    clause("avez-vous {room.un} avec {extra.un} pour {day}?",
           "do you have {room.a} with {extra.a} for {day}?", room=ROOM_KINDS, extra=FEATURES, day=PARTS_OF_DAY),
    clause("{device.le} de la chambre {n} ne marche pas {now}.",
           "the {device} in room {n} is not working {now}.", device=DEVICES, n=NUMBERS + TENS, now=NOW),
    clause("il n'y a pas de {thing} dans la chambre {n}.",
           "there is no {thing} in room {n}.", thing=ROOM_THINGS + DEVICES[2:], n=NUMBERS + TENS),
    clause("pourriez-vous apporter {thing.un} dans la chambre {n}?",
           "could you bring {thing.a} to room {n}?", thing=described(ROOM_THINGS[:3], SIZES[:2] + COLORS), n=NUMBERS),
    clause("la clé de la chambre {n} est {spot}.",
           "the key to room {n} is {spot}.", n=NUMBERS + TENS, spot=SPOTS),
    clause("{meal} est servi de {start} à {end}.",
           "{meal} is served from {start} to {end}.", meal=MEALS, start=FULL_HOURS, end=FULL_HOURS),
    clause("{who} {who.va} rester {n} nuits dans {stay.ce}.",
           "{who} {who.be} going to stay {n} nights in this {stay}.", who=PEOPLE, n=NUMBERS, stay=STAYS),
    clause("{stay.ce} est trop loin de {place.le}.",
           "this {stay} is too far from the {place}.", stay=STAYS, place=PLACES),
    clause("combien coûte {room.un} avec {extra.un} pour {n} nuits?",
           "how much is {room.a} with {extra.a} for {n} nights?", room=ROOM_KINDS, extra=FEATURES, n=NUMBERS),
]

RESTAURANT = [
    clause("{who} {who.voudrait} {dish.un} et {serving}.",
           "{who} would like {dish.a} and {serving}.", who=PEOPLE, serving=SERVINGS, dish=DISHES),
    clause("{dish.un} avec {staple.du} pour {who} s'il vous plaît.",
           "{dish.a} with {staple} for {who} please.", dish=SAVORY, staple=FILLINGS, who=OTHERS),
    clause("{dish.le} est trop {state:{dish.gender}} pour {who}.",
           "the {dish} is too {state} for {who}.", dish=DISHES, state=FOOD_STATES, who=OTHERS),
    clause("avez-vous une table pour {n} personnes {when}?",
           "do you have a table for {n} people on {when}?", n=NUMBERS, when=PARTS_OF_DAY),
    clause("il n'y a plus de {staple} pour {who}.",
           "there is no more {staple} for {who}.", staple=STAPLES, who=OTHERS),
    clause("est-ce qu'il y a {staple.du} dans {dish.ce}?",
           "is there any {staple} in this {dish}?", staple=FILLINGS, dish=described(SAVORY, FOOD_STATES[:2])),
    clause("{who} {who.a} déjà commandé {dish.un} et {serving}.",
           "{who} {who.have} already ordered {dish.a} and {serving}.", who=PEOPLE, dish=DISHES, serving=SERVINGS),
    clause("qui a commandé {dish.un} sans {staple} à la table {n}?",
           "who ordered {dish.a} without {staple} at table {n}?", dish=SAVORY, staple=FILLINGS, n=NUMBERS + TENS),
    clause("pouvez-vous apporter {dish.un} sans {staple} à {who}?",
           "can you bring {dish.a} without {staple} to {who}?", dish=SAVORY, staple=FILLINGS, who=OTHERS),
    clause("{dish.ce} est très {state:{dish.gender}} mais {other.le} est {more:{other.gender}}.",
           "this {dish} is very {state} but the {other} is {more}.",
           dish=DISHES, state=FOOD_STATES, other=DISHES, more=FOOD_STATES),
]

DIRECTIONS = [
    clause("est-ce que {place.le} est {near} {other.le}?",
           "is the {place} {near} the {other}?", place=PLACES, near=NEAR, other=PLACES),
    clause("{place.le} est à {n} minutes de {other.le}.",
           "the {place} is {n} minutes from the {other}.", place=PLACES, n=NUMBERS + TENS[:3], other=PLACES),
    clause("{turn} {where} {place.le}.", "{turn} {where} the {place}.", turn=TURNS, where=WHERE_TO_TURN, place=PLACES),
    clause("prenez la {nth} rue {way} après {place.le}.",
           "take the {nth} street {way} after the {place}.", nth=ORDINALS, way=WAYS, place=PLACES),
    clause("y a-t-il {place.un} {near} {other.le}?",
           "is there {place.a} {near} the {other}?", place=PLACES, near=NEAR, other=PLACES),
    clause("{who} {look:{who.key}} {place.un} {near} {other.le}.",
           "{who} {who.be} {look.doing} {look.what} {place.a} {near} the {other}.",
           who=PEOPLE, look=LOOK, place=PLACES, near=NEAR, other=PLACES),
    clause("pour aller à {place.le} prenez le bus numéro {n}.",
           "to go to the {place} take bus number {n}.", place=PLACES, n=NUMBERS + TENS),
    clause("{who} {who.peut} aller à {place.le} {by}.",
           "{who} can go to the {place} {by}.", who=PEOPLE, place=PLACES, by=BY),
    clause("{place.le} est dans la {nth} rue {way}.",
           "the {place} is on the {nth} street {way}.", place=PLACES, nth=ORDINALS, way=WAYS),
]

TRANSPORT = [
    clause("{ride.le} pour {city} part à {clock}.",
           "the {ride} to {city} leaves at {clock}.", ride=SCHEDULED, city=CITIES, clock=CLOCK),
    clause("à quelle heure part {ride.le} pour {city} {day}?",
           "what time does the {ride} to {city} leave on {day}?", ride=SCHEDULED, city=CITIES, day=PARTS_OF_DAY + DAYS),
    clause("{ride.le} de {city} arrive {day} à {clock}.",
           "the {ride} from {city} arrives on {day} at {clock}.", ride=SCHEDULED, city=CITIES, day=DAYS, clock=CLOCK),
    clause("{who} {who.voudrait} {ticket} pour {city} {day}.",
           "{who} would like {ticket} to {city} on {day}.", who=PEOPLE, ticket=TICKETS, city=CITIES, day=DAYS),
    clause("{ride.le} pour {city} a {n} minutes de retard.",
           "the {ride} to {city} is {n} minutes late.", ride=SCHEDULED, city=CITIES, n=NUMBERS + TENS[:5]),
    clause("est-ce que {ride.ce} va à {city} ou à {other}?",
           "does this {ride} go to {city} or to {other}?", ride=SCHEDULED, city=CITIES, other=CITIES),
    clause("le train pour {city} part du quai numéro {n}.",
           "the train to {city} leaves from platform number {n}.", city=CITIES, n=NUMBERS + TENS[:3]),
    clause("il y a {ride.un} pour {city} toutes les {n} heures.",
           "there is {ride.a} to {city} every {n} hours.", ride=SCHEDULED, city=CITIES, n=NUMBERS),
    clause("{who} {who.a} manqué {ride.le} de {hour}.",
           "{who} missed the {hour} {ride}.", who=PEOPLE, ride=SCHEDULED, hour=FULL_HOURS),
    clause("le voyage de {city} à {other} dure {n} heures.",
           "the trip from {city} to {other} takes {n} hours.", city=CITIES, other=CITIES, n=NUMBERS),
]
