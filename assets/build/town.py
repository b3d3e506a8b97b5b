"""The clauses of a day in town: shopping, belongings, opening hours and appointments."""

from .clause import clause
from .lexicon import (
    BELONGINGS,
    CLOTHES,
    CLOTHES_STATES,
    COLORS,
    DOCTORS,
    EVENTS,
    OPEN_PLACES,
    PLACE_STATES,
    PLACES,
    SIZES,
)
from .people import (
    CITIES,
    CLOCK,
    FEW,
    NEAR,
    OTHERS,
    PARTS_OF_DAY,
    PEOPLE,
    PRICES,
    SPOTS,
    WEEKLY,
)
from .verbs import FIND_OR_LOSE, LOOK, OPENING, PREFER
from .words import adjectives, described, phrases

PAYING = phrases("""
par carte = by card = con tarjeta
en espèces = in cash = en efectivo
""")
COMPARED = phrases("""
plus = more = más
moins = less = menos
""")
COMPARABLE = adjectives("""
cher chère expensive | caro
moderne moderne modern | moderno
pratique pratique practical | práctico
""")
THEFTS = phrases("""
dans le train = on the train = en el tren
dans le bus = on the bus = en el autobús
à la gare = at the station = en la estación
à l'aéroport = at the airport = en el aeropuerto
au restaurant = at the restaurant = en el restaurante
sur la plage = on the beach = en la playa
""")
DRESS = described(CLOTHES, COLORS)
THINGS = described(BELONGINGS, SIZES[:2] + SIZES[3:] + COLORS)
PACKED = described(BELONGINGS[:3] + BELONGINGS[9:11], SIZES[:2] + COLORS)  # belongings that people have several of
OPEN_OR_CLOSED = [state for state in PLACE_STATES if state.en in ("open", "closed")]

SHOPPING = [
    clause("combien coûtent ces {item.many} et {other.ce}?",
           "how much are these {item.many} and this {other}?",
           "cuánto cuestan {item.estos} y {other.este}?", item=DRESS, other=CLOTHES),
    clause("{item.ce} coûte {n} euros.", "this {item} costs {n} euros.",
           "{item.este} cuesta {n} euros.", item=DRESS, n=PRICES),
    clause("{item.ce} est trop {state:{item.gender}} pour {who}.",
           "this {item} is too {state} for {who}.",
           "{item.este} {state.es} demasiado {state:{item.gender}} para {who}.", item=DRESS, state=CLOTHES_STATES, who=OTHERS),
    clause("ces {item.many} sont très {state:{item.gender}p}.",
           "these {item.many} are very {state}.",
           "{item.estos} {state.son} muy {state:{item.gender}p}.", item=DRESS, state=CLOTHES_STATES),
    clause("{who} {look:{who.key}} {item.un} pour {other}.",
           "{who} {who.be} {look.doing} {look.what} {item.a} for {other}.",
           "{who} {look:{who.key}} {item.un} para {other}.",
           who=PEOPLE, look=LOOK, item=DRESS, other=OTHERS),
    clause("avez-vous {item.ce} en {color:m} ou en {other:m}?",
           "do you have this {item} in {color} or in {other}?",
           "tiene {item.este} en {color:m} o en {other:m}?", item=CLOTHES, color=COLORS, other=COLORS),
    clause("{who} {prefer:{who.key}} {item.le}.",
           "{who} {prefer:{who.key}} the {item}.",
           "{who} {prefer:{who.key}} {item.el}.", who=PEOPLE, prefer=PREFER, item=DRESS),
    clause("{who} {who.voudrait} payer {n} euros {paying}.",
           "{who} would like to pay {n} euros {paying}.",
           "{who} {who.quisiera} pagar {n} euros {paying}.", who=PEOPLE, n=PRICES, paying=PAYING),
    clause("{item.le} est {more} {state:{item.gender}} que {other.le}.",
           "the {item} is {more} {state} than the {other}.",
           "{item.el} {state.es} {more} {state:{item.gender}} que {other.el}.",
           item=CLOTHES, more=COMPARED, state=COMPARABLE, other=CLOTHES),
]

LUGGAGE = [
    clause("{who} {who.a} {do.done:m} {thing.mon} {near} {place.le}.",
           "{who} {do.did} my {thing} {near} the {place}.",
           "{who} {do:did {who.key}} mi {thing} {near} {place.el}.",
           who=PEOPLE, do=FIND_OR_LOSE, thing=BELONGINGS, near=NEAR[:4], place=PLACES),
    clause("est-ce que c'est votre {thing}?", "is this your {thing}?",
           "es {thing.pronoun} su {thing}?", thing=THINGS),
    clause("votre {thing} est {spot}.", "your {thing} is {spot}.",
           "su {thing} está {spot}.", thing=THINGS, spot=SPOTS),
    clause("nos {thing.many} sont {spot}.", "our {thing.many} are {spot}.",
           "{thing.nuestros} están {spot}.", thing=PACKED, spot=SPOTS),
    clause("où sont mes {thing.many} et {other.mon}?",
           "where are my {thing.many} and my {other}?",
           "dónde están mis {thing.many} y mi {other}?", thing=PACKED, other=BELONGINGS),
    clause("{who} ne {find:{who.key}} pas {thing.mon}.",
           "{who} cannot find my {thing}.",
           "{who} no {find:{who.key}} mi {thing}.", who=PEOPLE, find=FIND_OR_LOSE[:1], thing=THINGS),
    clause("quelqu'un a volé {thing.mon} {where}.", "someone stole my {thing} {where}.",
           "alguien robó mi {thing} {where}.", thing=THINGS, where=THEFTS),
    clause("il y a {thing.un} {spot}.", "there is {thing.a} {spot}.",
           "hay {thing.un} {spot}.", thing=THINGS, spot=SPOTS),
    clause("montrez votre {thing} et votre {other} s'il vous plaît.",
           "show your {thing} and your {other} please.",
           "muestre su {thing} y su {other} por favor.", thing=BELONGINGS, other=BELONGINGS),
    clause("{thing.ce} est à {who}.", "this {thing} belongs to {who}.",
           "{thing.este} es de {who}.", thing=THINGS, who=OTHERS),
]

HOURS = [
    clause("{place.le} {open:il} à {clock} {day}.",
           "the {place} {open:s} at {clock} {day}.",
           "{place.el} {open:él} a {clock} {day}.", place=OPEN_PLACES, open=OPENING, clock=CLOCK, day=WEEKLY),
    clause("à quelle heure {open:il} {place.le} {day}?",
           "what time does the {place} {open} {day}?",
           "a qué hora {open:él} {place.el} {day}?", place=OPEN_PLACES, open=OPENING, day=WEEKLY),
    clause("est-ce que {place.le} est {state:{place.gender}} {day}?",
           "is the {place} {state} {day}?",
           "{state.es} {place.el} {state:{place.gender}} {day}?", place=OPEN_PLACES, state=OPEN_OR_CLOSED, day=WEEKLY),
    clause("{who} {who.a} rendez-vous avec {other.le} à {clock}.",
           "{who} {who.have} an appointment with the {other} at {clock}.",
           "{who} {who.tiene} cita con {other.el} a {clock}.", who=PEOPLE, other=DOCTORS, clock=CLOCK),
    clause("{event.le} commence à {clock}.", "the {event} starts at {clock}.",
           "{event.el} empieza a {clock}.", event=EVENTS, clock=CLOCK),
    clause("{event.le} de {day} dure {n} heures.",
           "the {day} {event} lasts {n} hours.",
           "{event.el} de el {day} dura {n} horas.", event=EVENTS, day=PARTS_OF_DAY, n=FEW),
    clause("il est {clock} à {city}.", "it is {clock} in {city}.",
           "{clock.es} en {city}.", clock=CLOCK, city=CITIES),
    clause("quand est-ce que {event.le} de {day} commence?",
           "when does the {day} {event} start?",
           "cuándo empieza {event.el} de el {day}?", event=EVENTS, day=PARTS_OF_DAY),
    clause("il y a {event.un} à {clock} {place}.", "there is {event.a} at {clock} {place}.",
           "hay {event.un} a {clock} {place}.",
           event=EVENTS, clock=CLOCK, place=WEEKLY),
]
