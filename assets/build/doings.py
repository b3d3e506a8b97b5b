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
parler plus lentement = speak more slowly
appeler un taxi = call a taxi
attendre devant la porte = wait in front of the door
fermer la fenêtre = close the window
ouvrir la porte = open the door
prendre des photos = take photos
montrer le plan = show the map
""")
WHEN_ASKED = phrases("""
ce matin = this morning
ce soir = this evening
demain = tomorrow
demain matin = tomorrow morning
s'il vous plaît = please
""")
PERMITTED = phrases("""
attendre = wait
manger = eat
laisser ma valise = leave my suitcase
prendre des photos = take photos
""")
MEANWHILE = phrases("""
quand il a commencé à pleuvoir = when it started to rain
quand le train est arrivé = when the train arrived
quand vous avez appelé = when you called
quand le téléphone a sonné = when the phone rang
quand le magasin a fermé = when the store closed
""")
BY = phrases("""
à pied = on foot
en bus = by bus
en voiture = by car
""")
THINGS = described(BELONGINGS, SIZES[:2] + SIZES[3:] + COLORS)
SPLENDORS = described(SIGHTS, SIZES)
QUALITIES = [state for state in PLACE_STATES if state.en not in ("open", "closed")]
ASKED = [YOU, *OTHERS]  # "you" is only a subject of questions
REMEMBERED = [ME, ME, ME, *RELATIVES]

PAST = [
    clause("{who} {who.a} {do.done:m} {sight.le} {ago}.",
           "{who} {do.did} the {sight} {ago}.", who=PEOPLE, do=SIGHTSEEING, sight=SPLENDORS, ago=AGO),
    clause("{who} {who.est} {go.done:{who.gender}} {go.what} {city} {ago}.",
           "{who} {go.did} {go.what} {city} {ago}.", who=PEOPLE, go=MOVING, city=CITIES, ago=AGO),
    clause("{who} {who.a} {do.done:m} {thing.un} à {city}.",
           "{who} {do.did} {thing.a} in {city}.", who=PEOPLE, do=TRADES, thing=THINGS, city=CITIES),
    clause("{who} {who.a} {act.done:m} {act.what} {ago}.",
           "{who} {act.did} {act.what} {ago}.", who=PEOPLE, act=PASTIMES, ago=AGO),
    clause("est-ce que {who} {who.a} déjà {do.done:m} {sight.le}?",
           "{who.have} {who} already {do.done} the {sight}?", who=ASKED, do=SIGHTSEEING, sight=SIGHTS),
    clause("{who} ne {who.a} pas {act.done:m} {act.what} {ago}.",
           "{who} did not {act} {act.what} {ago}.", who=PEOPLE, act=PASTIMES, ago=AGO),
    clause("quand est-ce que {who} {who.est} {go.done:{who.gender}} {go.what} {city}?",
           "when did {who} {go} {go.what} {city}?", who=OTHERS, go=MOVING, city=CITIES),
    clause("{who} ne {who.est} pas {go.done:{who.gender}} {go.what} {city} {ago}.",
           "{who} did not {go} {go.what} {city} {ago}.", who=PEOPLE, go=MOVING, city=CITIES, ago=AGO),
    clause("{who} {who.a} {eat.done:m} {dish.un} à {city} {ago}.",
           "{who} {eat.did} {dish.a} in {city} {ago}.", who=PEOPLE, eat=EATING, dish=DISHES, city=CITIES, ago=AGO),
]

PLANS = [
    clause("{who} {who.va} {act} {act.what} {soon}.",
           "{who} {who.be} going to {act} {act.what} {soon}.", who=PEOPLE, act=PASTIMES, soon=SOON),
    clause("{who} {who.va} {do} {sight.le} {soon}.",
           "{who} {who.be} going to {do} the {sight} {soon}.", who=PEOPLE, do=SIGHTSEEING, sight=SIGHTS, soon=SOON),
    clause("{who} ne {who.va} pas {go} {go.what} {city} {soon}.",
           "{who} {who.be} not going to {go} {go.what} {city} {soon}.", who=PEOPLE, go=MOVING, city=CITIES, soon=SOON),
    clause("est-ce que {who} {who.va} {act} {act.what} {soon}?",
           "{who.be} {who} going to {act} {act.what} {soon}?", who=ASKED, act=PASTIMES, soon=SOON),
    clause("{who} {who.voudrait} {go} {go.what} {city} {soon}.",
           "{who} would like to {go} {go.what} {city} {soon}.", who=PEOPLE, go=MOVING, city=CITIES, soon=SOON),
    clause("quand est-ce que {who} {who.va} {do} {sight.le}?",
           "when {who.be} {who} going to {do} the {sight}?", who=ASKED, do=SIGHTSEEING, sight=SIGHTS),
    clause("pourquoi est-ce que {who} {who.va} {do} {thing.ce}?",
           "why {who.be} {who} going to {do} this {thing}?", who=ASKED, do=TRADES[:2], thing=THINGS),
    clause("{who} {who.va} {eat} {dish.un} pour {other} {soon}.",
           "{who} {who.be} going to {eat} {dish.a} for {other} {soon}.",
           who=PEOPLE, eat=EATING[1:], dish=DISHES, other=OTHERS, soon=SOON[:4]),
]

MEMORIES = [
    clause("quand j'avais {n} ans {who} {act:was {who.key}} {act.what}.",
           "when i was {n} {who} used to {act} {act.what}.", n=NUMBERS, who=[ME], act=PASTIMES),
    clause("{who} {act:was {who.key}} {act.what} {often} {season}.",
           "{who} used to {act} {act.what} {often} {season}.", who=[ME], act=PASTIMES, often=OFTEN, season=SEASONS),
    clause("{who} {act:was {who.key}} {act.what} {often}.",
           "{who} used to {act} {act.what} {often}.", who=REMEMBERED, act=PASTIMES, often=OFTEN),
    clause("{who} {who.etait} très {mood:{who.gender}} {ago}.",
           "{who} {who.was} very {mood} {ago}.", who=PEOPLE, mood=MOODS, ago=AGO),
    clause("il y a {n} ans {who} {live:was {who.key}} à {city}.",
           "{n} years ago {who} {who.was} {live.doing} in {city}.",
           n=NUMBERS, who=REMEMBERED, live=LIVING, city=CITIES),
    clause("{who} {act:was {who.key}} {act.what} {meanwhile}.",
           "{who} {who.was} {act.doing} {act.what} {meanwhile}.", who=REMEMBERED, act=PASTIMES, meanwhile=MEANWHILE),
    clause("{place.le} était très {state:{place.gender}} {season}.",
           "the {place} was very {state} {season}.", place=PLACES, state=QUALITIES, season=SEASONS + AGO),
]

HABITS = [
    clause("{who} {act:{who.key}} {act.what} {often}.",
           "{who} {act:{who.key}} {act.what} {often}.", who=PEOPLE, act=PASTIMES, often=OFTEN),
    clause("{who} ne {act:{who.key}} jamais {act.what} {season}.",
           "{who} never {act:{who.key}} {act.what} {season}.", who=PEOPLE, act=PASTIMES, season=SEASONS),
    clause("{who} ne {act:{who.key}} plus {act.what} {when}.",
           "{who} no longer {act:{who.key}} {act.what} {when}.", who=PEOPLE, act=PASTIMES, when=AT_TIMES[:3]),
    clause("{who} ne {eat:{who.key}} jamais de {food} {when}.",
           "{who} never {eat:{who.key}} {food} {when}.", who=PEOPLE, eat=EAT, food=EATEN, when=AT_TIMES),
    clause("{who} {eat:{who.key}} {food.du} {when}.",
           "{who} {eat:{who.key}} {food} {when}.", who=PEOPLE, eat=EAT, food=EATEN, when=AT_TIMES),
    clause("{who} ne {drink:{who.key}} pas de {drunk} {when}.",
           "{who} {who.do} not {drink} {drunk} {when}.", who=PEOPLE, drink=DRINK, drunk=DRINKS, when=AT_TIMES),
    clause("est-ce que {who} {act:{who.key}} {act.what} {often}?",
           "{who.do} {who} {act} {act.what} {often}?", who=ASKED, act=PASTIMES, often=OFTEN),
    clause("est-ce que {who} {act:{who.key}} souvent {act.what} {when}?",
           "{who.do} {who} often {act} {act.what} {when}?", who=[YOU], act=PASTIMES, when=SEASONS + COUNTRIES + MONTHS),
    clause("{who} {act:{who.key}} {act.what} avec {other} {often}.",
           "{who} {act} {act.what} with {other} {often}.", who=[WE], act=PASTIMES, other=OTHERS, often=OFTEN),
    clause("{who} {go:{who.key}} à {place.le} {by} {often}.",
           "{who} {go:{who.key}} to the {place} {by} {often}.", who=PEOPLE, go=GO, place=PLACES, by=BY, often=OFTEN),
]

COURTESY = [
    clause("pourriez-vous {favor} {when}?", "could you {favor} {when}?", favor=FAVORS, when=SOON + WHEN_ASKED[4:]),
    clause("est-ce que {who} {who.peut} {favor} {when}?",
           "can {who} {favor} {when}?", who=OTHERS, favor=FAVORS, when=WHEN_ASKED[:4]),
    clause("{who} {who.voudrait} savoir où est {place.le}.",
           "{who} would like to know where the {place} is.", who=PEOPLE, place=PLACES),
    clause("pourriez-vous montrer {place.le} à {who} {when}?",
           "could you show the {place} to {who} {when}?", place=PLACES, who=OTHERS, when=WHEN_ASKED),
    clause("voulez-vous {act} {act.what} avec {who} {soon}?",
           "do you want to {act} {act.what} with {who} {soon}?", act=PASTIMES, who=OTHERS, soon=SOON),
    clause("excusez-moi mais {who} ne {speak:{who.key}} pas {language}.",
           "excuse me but {who} {who.do} not {speak} {language}.", who=PEOPLE, speak=SPEAK, language=LANGUAGES),
    clause("merci beaucoup pour {thing.ce}.",
           "thank you very much for this {thing}.", thing=THINGS),
    clause("puis-je {do} {near} {place.le}?", "may i {do} {near} the {place}?", do=PERMITTED, near=NEAR, place=PLACES),
    clause("{who} {who.voudrait} parler à {other.le} {when}.",
           "{who} would like to speak to the {other} {when}.", who=PEOPLE, other=DOCTORS, when=SOON),
]
