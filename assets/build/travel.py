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
from .verbs import LOOK, MISS
from .words import described, only, phrases

WAYS = phrases("""
à gauche = on the left = a la izquierda
à droite = on the right = a la derecha
""")
TURNS = phrases("""
tournez à gauche = turn left = gire a la izquierda
tournez à droite = turn right = gire a la derecha
arrêtez la voiture = stop the car = pare el coche
traversez la rue = cross the street = cruce la calle
attendez le bus = wait for the bus = espere el autobús
""")
WHERE_TO_TURN = phrases("""
avant = before = antes de
après = after = después de
devant = in front of = delante de
derrière = behind = detrás de
""")
BY = phrases("""
à pied = on foot = a pie
en bus = by bus = en autobús
en taxi = by taxi = en taxi
en voiture = by car = en coche
à vélo = by bike = en bicicleta
""")
SERVINGS = phrases("""
un verre de vin = a glass of wine = una copa de vino
un verre de lait = a glass of milk = un vaso de leche
une bouteille de bière = a bottle of beer = una botella de cerveza
une bouteille d'eau = a bottle of water = una botella de agua
une tasse de thé = a cup of tea = una taza de té
une tasse de café = a cup of coffee = una taza de café
un jus de pomme = an apple juice = un zumo de manzana
""")
MEALS = phrases("""
le petit déjeuner = breakfast = el desayuno
le déjeuner = lunch = el almuerzo
le dîner = dinner = la cena
""")
TICKETS = phrases("""
un aller simple = a one-way ticket = un billete de ida
un aller-retour = a round-trip ticket = un billete de ida y vuelta
deux billets = two tickets = dos billetes
trois places = three seats = tres asientos
""")
SAVORY = only(DISHES, "soup salad omelet sandwich pie")
STAYS = described(LODGINGS, CALM[:3] + SIZES)

HOTEL = [
    clause("{who} {who.voudrait} réserver {room.un} pour {n} nuits.",
           "{who} would like to reserve {room.a} for {n} nights.",
           "{who} {who.quisiera} reservar {room.un} para {n} noches.", who=PEOPLE, room=ROOM_KINDS, n=NUMBERS),
    clause("avez-vous {room.un} avec {extra.un} pour {day}?",
           "do you have {room.a} with {extra.a} for {day}?",
           "tiene {room.un} con {extra.un} para el {day}?", room=ROOM_KINDS, extra=FEATURES, day=PARTS_OF_DAY),
    clause("{device.le} de la chambre {n} ne marche pas {now}.",
           "the {device} in room {n} is not working {now}.",
           "{device.el} de la habitación {n} no funciona {now}.", device=DEVICES, n=NUMBERS + TENS, now=NOW),
    clause("il n'y a pas de {thing} dans la chambre {n}.",
           "there is no {thing} in room {n}.",
           "no hay {thing} en la habitación {n}.", thing=ROOM_THINGS + DEVICES[2:], n=NUMBERS + TENS),
    clause("pourriez-vous apporter {thing.un} dans la chambre {n}?",
           "could you bring {thing.a} to room {n}?",
           "podría traer {thing.un} a la habitación {n}?", thing=described(ROOM_THINGS[:3], SIZES[:2] + COLORS), n=NUMBERS),
    clause("la clé de la chambre {n} est {spot}.",
           "the key to room {n} is {spot}.",
           "la llave de la habitación {n} está {spot}.", n=NUMBERS + TENS, spot=SPOTS),
    clause("{meal} est servi de {start} à {end}.",
           "{meal} is served from {start} to {end}.",
           "{meal} se sirve de {start} a {end}.", meal=MEALS, start=FULL_HOURS, end=FULL_HOURS),
    clause("{who} {who.va} rester {n} nuits dans {stay.ce}.",
           "{who} {who.be} going to stay {n} nights in this {stay}.",
           "{who} {who.va} a quedar{who.se} {n} noches en {stay.este}.", who=PEOPLE, n=NUMBERS, stay=STAYS),
    clause("{stay.ce} est trop loin de {place.le}.",
           "this {stay} is too far from the {place}.",
           "{stay.este} está demasiado lejos de {place.el}.", stay=STAYS, place=PLACES),
    clause("combien coûte {room.un} avec {extra.un} pour {n} nuits?",
           "how much is {room.a} with {extra.a} for {n} nights?",
           "cuánto cuesta {room.un} con {extra.un} por {n} noches?", room=ROOM_KINDS, extra=FEATURES, n=NUMBERS),
]

RESTAURANT = [
    clause("{who} {who.voudrait} {dish.un} et {serving}.",
           "{who} would like {dish.a} and {serving}.",
           "{who} {who.quisiera} {dish.un} y {serving}.", who=PEOPLE, serving=SERVINGS, dish=DISHES),
    clause("{dish.un} avec {staple.du} pour {who} s'il vous plaît.",
           "{dish.a} with {staple} for {who} please.",
           "{dish.un} con {staple} para {who} por favor.", dish=SAVORY, staple=FILLINGS, who=OTHERS),
    clause("{dish.le} est trop {state:{dish.gender}} pour {who}.",
           "the {dish} is too {state} for {who}.",
           "{dish.el} {state.es} demasiado {state:{dish.gender}} para {who}.", dish=DISHES, state=FOOD_STATES, who=OTHERS),
    clause("avez-vous une table pour {n} personnes {when}?",
           "do you have a table for {n} people on {when}?",
           "tiene una mesa para {n} personas el {when}?", n=NUMBERS, when=PARTS_OF_DAY),
    clause("il n'y a plus de {staple} pour {who}.",
           "there is no more {staple} for {who}.",
           "no hay más {staple} para {who}.", staple=STAPLES, who=OTHERS),
    clause("est-ce qu'il y a {staple.du} dans {dish.ce}?",
           "is there any {staple} in this {dish}?",
           "hay {staple} en {dish.este}?", staple=FILLINGS, dish=described(SAVORY, FOOD_STATES[:2])),
    clause("{who} {who.a} déjà commandé {dish.un} et {serving}.",
           "{who} {who.have} already ordered {dish.a} and {serving}.",
           "{who} ya {who.ha} pedido {dish.un} y {serving}.", who=PEOPLE, dish=DISHES, serving=SERVINGS),
    clause("qui a commandé {dish.un} sans {staple} à la table {n}?",
           "who ordered {dish.a} without {staple} at table {n}?",
           "quién pidió {dish.un} sin {staple} en la mesa {n}?", dish=SAVORY, staple=FILLINGS, n=NUMBERS + TENS),
    clause("pouvez-vous apporter {dish.un} sans {staple} à {who}?",
           "can you bring {dish.a} without {staple} to {who}?",
           "puede traer {dish.un} sin {staple} para {who}?", dish=SAVORY, staple=FILLINGS, who=OTHERS),
    clause("{dish.ce} est très {state:{dish.gender}} mais {other.le} est {more:{other.gender}}.",
           "this {dish} is very {state} but the {other} is {more}.",
           "{dish.este} {state.es} muy {state:{dish.gender}} pero {other.el} {more.es} {more:{other.gender}}.",
           dish=DISHES, state=FOOD_STATES, other=DISHES, more=FOOD_STATES),
]

DIRECTIONS = [
    clause("est-ce que {place.le} est {near} {other.le}?",
           "is the {place} {near} the {other}?",
           "está {place.el} {near} {other.el}?", place=PLACES, near=NEAR, other=PLACES),
    clause("{place.le} est à {n} minutes de {other.le}.",
           "the {place} is {n} minutes from the {other}.",
           "{place.el} está a {n} minutos de {other.el}.", place=PLACES, n=NUMBERS + TENS[:3], other=PLACES),
    clause("{turn} {where} {place.le}.", "{turn} {where} the {place}.",
           "{turn} {where} {place.el}.", turn=TURNS, where=WHERE_TO_TURN, place=PLACES),
    clause("prenez la {nth} rue {way} après {place.le}.",
           "take the {nth} street {way} after the {place}.",
           "tome la {nth} calle {way} después de {place.el}.", nth=ORDINALS, way=WAYS, place=PLACES),
    clause("y a-t-il {place.un} {near} {other.le}?",
           "is there {place.a} {near} the {other}?",
           "hay {place.un} {near} {other.el}?", place=PLACES, near=NEAR, other=PLACES),
    clause("{who} {look:{who.key}} {place.un} {near} {other.le}.",
           "{who} {who.be} {look.doing} {look.what} {place.a} {near} the {other}.",
           "{who} {look:{who.key}} {place.un} {near} {other.el}.",
           who=PEOPLE, look=LOOK, place=PLACES, near=NEAR, other=PLACES),
    clause("pour aller à {place.le} prenez le bus numéro {n}.",
           "to go to the {place} take bus number {n}.",
           "para ir a {place.el} tome el autobús número {n}.", place=PLACES, n=NUMBERS + TENS),
    clause("{who} {who.peut} aller à {place.le} {by}.",
           "{who} can go to the {place} {by}.",
           "{who} {who.puede} ir a {place.el} {by}.", who=PEOPLE, place=PLACES, by=BY),
    clause("{place.le} est dans la {nth} rue {way}.",
           "the {place} is on the {nth} street {way}.",
           "{place.el} está en la {nth} calle {way}.", place=PLACES, nth=ORDINALS, way=WAYS),
]

TRANSPORT = [
    clause("{ride.le} pour {city} part à {clock}.",
           "the {ride} to {city} leaves at {clock}.",
           "{ride.el} para {city} sale a {clock}.", ride=SCHEDULED, city=CITIES, clock=CLOCK),
    clause("à quelle heure part {ride.le} pour {city} {day}?",
           "what time does the {ride} to {city} leave on {day}?",
           "a qué hora sale {ride.el} para {city} el {day}?", ride=SCHEDULED, city=CITIES, day=PARTS_OF_DAY + DAYS),
    clause("{ride.le} de {city} arrive {day} à {clock}.",
           "the {ride} from {city} arrives on {day} at {clock}.",
           "{ride.el} de {city} llega el {day} a {clock}.", ride=SCHEDULED, city=CITIES, day=DAYS, clock=CLOCK),
    clause("{who} {who.voudrait} {ticket} pour {city} {day}.",
           "{who} would like {ticket} to {city} on {day}.",
           "{who} {who.quisiera} {ticket} para {city} el {day}.", who=PEOPLE, ticket=TICKETS, city=CITIES, day=DAYS),
    clause("{ride.le} pour {city} a {n} minutes de retard.",
           "the {ride} to {city} is {n} minutes late.",
           "{ride.el} para {city} tiene {n} minutos de retraso.", ride=SCHEDULED, city=CITIES, n=NUMBERS + TENS[:5]),
    clause("est-ce que {ride.ce} va à {city} ou à {other}?",
           "does this {ride} go to {city} or to {other}?",
           "va {ride.este} a {city} o a {other}?", ride=SCHEDULED, city=CITIES, other=CITIES),
    clause("le train pour {city} part du quai numéro {n}.",
           "the train to {city} leaves from platform number {n}.",
           "el tren para {city} sale del andén número {n}.", city=CITIES, n=NUMBERS + TENS[:3]),
    clause("il y a {ride.un} pour {city} toutes les {n} heures.",
           "there is {ride.a} to {city} every {n} hours.",
           "hay {ride.un} para {city} cada {n} horas.", ride=SCHEDULED, city=CITIES, n=NUMBERS),
    clause("{who} {who.a} manqué {ride.le} de {hour}.",
           "{who} missed the {hour} {ride}.",
           "{who} {miss:did {who.key}} {ride.el} de {hour}.", who=PEOPLE, ride=SCHEDULED, hour=FULL_HOURS, miss=MISS),
    clause("le voyage de {city} à {other} dure {n} heures.",
           "the trip from {city} to {other} takes {n} hours.",
           "el viaje de {city} a {other} dura {n} horas.", city=CITIES, other=CITIES, n=NUMBERS),
]
