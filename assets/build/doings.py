"""The clauses about present, past and future actions, habits, and polite requests."""

from .clause import clause
from .lexicon import (
    BELONGINGS,
    COLORS,
    DISHES,
    DOCTORS,
    DRINKS,
    EATEN,
    LANGUAGES,
    MOODS,
    PLACE_STATES,
    PLACES,
    SIGHTS,
    SIZES,
)
from .people import (
    AGO,
    AT_TIMES,
    CITIES,
    COUNTRIES,
    ME,
    MONTHS,
    NEAR,
    NUMBERS,
    OFTEN,
    OTHERS,
    PEOPLE,
    RELATIVES,
    SEASONS,
    SOON,
    WE,
    YOU,
)
from .verbs import DRINK, EAT, EATING, GO, LIVING, MOVING, PASTIMES, SIGHTSEEING, SPEAK, TRADES
from .words import described, phrases

FAVORS = phrases("""
parler plus lentement = speak more slowly = hablar más despacio
appeler un taxi = call a taxi = llamar a un taxi
attendre devant la porte = wait in front of the door = esperar delante de la puerta
fermer la fenêtre = close the window = cerrar la ventana
ouvrir la porte = open the door = abrir la puerta
prendre des photos = take photos = tomar fotos
montrer le plan = show the map = mostrar el mapa
""")
WHEN_ASKED = phrases("""
ce matin = this morning = esta mañana
ce soir = this evening = esta noche
demain = tomorrow = mañana
demain matin = tomorrow morning = mañana por la mañana
s'il vous plaît = please = por favor
""")
PERMITTED = phrases("""
attendre = wait = esperar
manger = eat = comer
laisser ma valise = leave my suitcase = dejar mi maleta
prendre des photos = take photos = tomar fotos
""")
MEANWHILE = phrases("""
quand il a commencé à pleuvoir = when it started to rain = cuando empezó a llover
quand le train est arrivé = when the train arrived = cuando llegó el tren
quand vous avez appelé = when you called = cuando usted llamó
quand le téléphone a sonné = when the phone rang = cuando sonó el teléfono
quand le magasin a fermé = when the store closed = cuando cerró la tienda
""")
BY = phrases("""
à pied = on foot = a pie
en bus = by bus = en autobús
en voiture = by car = en coche
""")
THINGS = described(BELONGINGS, SIZES[:2] + SIZES[3:] + COLORS)
SPLENDORS = described(SIGHTS, SIZES)
QUALITIES = [state for state in PLACE_STATES if state.en not in ("open", "closed")]
ASKED = [YOU, *OTHERS]  # "you" is only a subject of questions
REMEMBERED = [ME, ME, ME, *RELATIVES]

PAST = [
    clause("{who} {who.a} {do.done:m} {sight.le} {ago}.",
           "{who} {do.did} the {sight} {ago}.",
           "{who} {do:did {who.key}} {sight.el} {ago}.", who=PEOPLE, do=SIGHTSEEING, sight=SPLENDORS, ago=AGO),
    clause("{who} {who.est} {go.done:{who.gender}} {go.what} {city} {ago}.",
           "{who} {go.did} {go.what} {city} {ago}.",
           "{who} {go:did {who.key}} {go.what} {city} {ago}.", who=PEOPLE, go=MOVING, city=CITIES, ago=AGO),
    clause("{who} {who.a} {do.done:m} {thing.un} à {city}.",
           "{who} {do.did} {thing.a} in {city}.",
           "{who} {do:did {who.key}} {thing.un} en {city}.", who=PEOPLE, do=TRADES, thing=THINGS, city=CITIES),
    clause("{who} {who.a} {act.done:m} {act.what} {ago}.",
           "{who} {act.did} {act.what} {ago}.",
           "{who} {act:did {who.key}} {act.what} {ago}.", who=PEOPLE, act=PASTIMES, ago=AGO),
    clause("est-ce que {who} {who.a} déjà {do.done:m} {sight.le}?",
           "{who.have} {who} already {do.done} the {sight}?",
           "ya {who.ha} {do.done} {who} {sight.el}?", who=ASKED, do=SIGHTSEEING, sight=SIGHTS),
    clause("{who} ne {who.a} pas {act.done:m} {act.what} {ago}.",
           "{who} did not {act} {act.what} {ago}.",
           "{who} no {act:did {who.key}} {act.what} {ago}.", who=PEOPLE, act=PASTIMES, ago=AGO),
    clause("quand est-ce que {who} {who.est} {go.done:{who.gender}} {go.what} {city}?",
           "when did {who} {go} {go.what} {city}?",
           "cuándo {go:did {who.key}} {who} {go.what} {city}?", who=OTHERS, go=MOVING, city=CITIES),
    clause("{who} ne {who.est} pas {go.done:{who.gender}} {go.what} {city} {ago}.",
           "{who} did not {go} {go.what} {city} {ago}.",
           "{who} no {go:did {who.key}} {go.what} {city} {ago}.", who=PEOPLE, go=MOVING, city=CITIES, ago=AGO),
    clause("{who} {who.a} {eat.done:m} {dish.un} à {city} {ago}.",
           "{who} {eat.did} {dish.a} in {city} {ago}.",
           "{who} {eat:did {who.key}} {dish.un} en {city} {ago}.", who=PEOPLE, eat=EATING, dish=DISHES, city=CITIES, ago=AGO),
]

PLANS = [
    clause("{who} {who.va} {act} {act.what} {soon}.",
           "{who} {who.be} going to {act} {act.what} {soon}.",
           "{who} {who.va} a {act} {act.what} {soon}.", who=PEOPLE, act=PASTIMES, soon=SOON),
    clause("{who} {who.va} {do} {sight.le} {soon}.",
           "{who} {who.be} going to {do} the {sight} {soon}.",
           "{who} {who.va} a {do} {sight.el} {soon}.", who=PEOPLE, do=SIGHTSEEING, sight=SIGHTS, soon=SOON),
    clause("{who} ne {who.va} pas {go} {go.what} {city} {soon}.",
           "{who} {who.be} not going to {go} {go.what} {city} {soon}.",
           "{who} no {who.va} a {go:to {who.key}} {go.what} {city} {soon}.", who=PEOPLE, go=MOVING, city=CITIES, soon=SOON),
    clause("est-ce que {who} {who.va} {act} {act.what} {soon}?",
           "{who.be} {who} going to {act} {act.what} {soon}?",
           "{who.va} {who} a {act} {act.what} {soon}?", who=ASKED, act=PASTIMES, soon=SOON),
    clause("{who} {who.voudrait} {go} {go.what} {city} {soon}.",
           "{who} would like to {go} {go.what} {city} {soon}.",
           "{who} {who.quisiera} {go:to {who.key}} {go.what} {city} {soon}.", who=PEOPLE, go=MOVING, city=CITIES, soon=SOON),
    clause("quand est-ce que {who} {who.va} {do} {sight.le}?",
           "when {who.be} {who} going to {do} the {sight}?",
           "cuándo {who.va} {who} a {do} {sight.el}?", who=ASKED, do=SIGHTSEEING, sight=SIGHTS),
    clause("pourquoi est-ce que {who} {who.va} {do} {thing.ce}?",
           "why {who.be} {who} going to {do} this {thing}?",
           "por qué {who.va} {who} a {do} {thing.este}?", who=ASKED, do=TRADES[:2], thing=THINGS),
    clause("{who} {who.va} {eat} {dish.un} pour {other} {soon}.",
           "{who} {who.be} going to {eat} {dish.a} for {other} {soon}.",
           "{who} {who.va} a {eat} {dish.un} para {other} {soon}.",
           who=PEOPLE, eat=EATING[1:], dish=DISHES, other=OTHERS, soon=SOON[:4]),
]

MEMORIES = [
    clause("quand j'avais {n} ans {who} {act:was {who.key}} {act.what}.",
           "when i was {n} {who} used to {act} {act.what}.",
           "cuando tenía {n} años {who} {act:was {who.key}} {act.what}.", n=NUMBERS, who=[ME], act=PASTIMES),
    clause("{who} {act:was {who.key}} {act.what} {often} {season}.",
           "{who} used to {act} {act.what} {often} {season}.",
           "{who} {act:was {who.key}} {act.what} {often} {season}.", who=[ME], act=PASTIMES, often=OFTEN, season=SEASONS),
    clause("{who} {act:was {who.key}} {act.what} {often}.",
           "{who} used to {act} {act.what} {often}.",
           "{who} {act:was {who.key}} {act.what} {often}.", who=REMEMBERED, act=PASTIMES, often=OFTEN),
    clause("{who} {who.etait} très {mood:{who.gender}} {ago}.",
           "{who} {who.was} very {mood} {ago}.",
           "{who} {who.estaba} muy {mood:{who.gender}} {ago}.", who=PEOPLE, mood=MOODS, ago=AGO),
    clause("il y a {n} ans {who} {live:was {who.key}} à {city}.",
           "{n} years ago {who} {who.was} {live.doing} in {city}.",
           "hace {n} años {who} {live:was {who.key}} en {city}.",
           n=NUMBERS, who=REMEMBERED, live=LIVING, city=CITIES),
    clause("{who} {act:was {who.key}} {act.what} {meanwhile}.",
           "{who} {who.was} {act.doing} {act.what} {meanwhile}.",
           "{who} {act:was {who.key}} {act.what} {meanwhile}.", who=REMEMBERED, act=PASTIMES, meanwhile=MEANWHILE),
    clause("{place.le} était très {state:{place.gender}} {season}.",
           "the {place} was very {state} {season}.",
           "{place.el} {state.era} muy {state:{place.gender}} {season}.", place=PLACES, state=QUALITIES, season=SEASONS + AGO),
]

HABITS = [
    clause("{who} {act:{who.key}} {act.what} {often}.",
           "{who} {act:{who.key}} {act.what} {often}.",
           "{who} {act:{who.key}} {act.what} {often}.", who=PEOPLE, act=PASTIMES, often=OFTEN),
    clause("{who} ne {act:{who.key}} jamais {act.what} {season}.",
           "{who} never {act:{who.key}} {act.what} {season}.",
           "{who} nunca {act:{who.key}} {act.what} {season}.", who=PEOPLE, act=PASTIMES, season=SEASONS),
    clause("{who} ne {act:{who.key}} plus {act.what} {when}.",
           "{who} no longer {act:{who.key}} {act.what} {when}.",
           "{who} ya no {act:{who.key}} {act.what} {when}.", who=PEOPLE, act=PASTIMES, when=AT_TIMES[:3]),
    clause("{who} ne {eat:{who.key}} jamais de {food} {when}.",
           "{who} never {eat:{who.key}} {food} {when}.",
           "{who} nunca {eat:{who.key}} {food} {when}.", who=PEOPLE, eat=EAT, food=EATEN, when=AT_TIMES),
    clause("{who} {eat:{who.key}} {food.du} {when}.",
           "{who} {eat:{who.key}} {food} {when}.",
           "{who} {eat:{who.key}} {food} {when}.", who=PEOPLE, eat=EAT, food=EATEN, when=AT_TIMES),
    clause("{who} ne {drink:{who.key}} pas de {drunk} {when}.",
           "{who} {who.do} not {drink} {drunk} {when}.",
           "{who} no {drink:{who.key}} {drunk} {when}.", who=PEOPLE, drink=DRINK, drunk=DRINKS, when=AT_TIMES),
    clause("est-ce que {who} {act:{who.key}} {act.what} {often}?",
           "{who.do} {who} {act} {act.what} {often}?",
           "{act:{who.key}} {who} {act.what} {often}?", who=ASKED, act=PASTIMES, often=OFTEN),
    clause("est-ce que {who} {act:{who.key}} souvent {act.what} {when}?",
           "{who.do} {who} often {act} {act.what} {when}?",
           "{act:{who.key}} {who} a menudo {act.what} {when}?", who=[YOU], act=PASTIMES, when=SEASONS + COUNTRIES + MONTHS),
    clause("{who} {act:{who.key}} {act.what} avec {other} {often}.",
           "{who} {act} {act.what} with {other} {often}.",
           "{who} {act:{who.key}} {act.what} con {other} {often}.", who=[WE], act=PASTIMES, other=OTHERS, often=OFTEN),
    clause("{who} {go:{who.key}} à {place.le} {by} {often}.",
           "{who} {go:{who.key}} to the {place} {by} {often}.",
           "{who} {go:{who.key}} a {place.el} {by} {often}.", who=PEOPLE, go=GO, place=PLACES, by=BY, often=OFTEN),
]

COURTESY = [
    clause("pourriez-vous {favor} {when}?", "could you {favor} {when}?",
           "podría {favor} {when}?", favor=FAVORS, when=SOON + WHEN_ASKED[4:]),
    clause("est-ce que {who} {who.peut} {favor} {when}?",
           "can {who} {favor} {when}?",
           "{who.puede} {who} {favor} {when}?", who=OTHERS, favor=FAVORS, when=WHEN_ASKED[:4]),
    clause("{who} {who.voudrait} savoir où est {place.le}.",
           "{who} would like to know where the {place} is.",
           "{who} {who.quisiera} saber dónde está {place.el}.", who=PEOPLE, place=PLACES),
    clause("pourriez-vous montrer {place.le} à {who} {when}?",
           "could you show the {place} to {who} {when}?",
           "podría mostrar {place.el} a {who} {when}?", place=PLACES, who=OTHERS, when=WHEN_ASKED),
    clause("voulez-vous {act} {act.what} avec {who} {soon}?",
           "do you want to {act} {act.what} with {who} {soon}?",
           "quiere {act} {act.what} con {who} {soon}?", act=PASTIMES, who=OTHERS, soon=SOON),
    clause("excusez-moi mais {who} ne {speak:{who.key}} pas {language}.",
           "excuse me but {who} {who.do} not {speak} {language}.",
           "disculpe pero {who} no {speak:{who.key}} {language}.", who=PEOPLE, speak=SPEAK, language=LANGUAGES),
    clause("merci beaucoup pour {thing.ce}.",
           "thank you very much for this {thing}.",
           "muchas gracias por {thing.este}.", thing=THINGS),
    clause("puis-je {do} {near} {place.le}?", "may i {do} {near} the {place}?",
           "puedo {do} {near} {place.el}?", do=PERMITTED, near=NEAR, place=PLACES),
    clause("{who} {who.voudrait} parler à {other.le} {when}.",
           "{who} would like to speak to the {other} {when}.",
           "{who} {who.quisiera} hablar con {other.el} {when}.", who=PEOPLE, other=DOCTORS, when=SOON),
]
