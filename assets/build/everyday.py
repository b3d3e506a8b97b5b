"""The clauses of everyday talk: weather, health, people."""

from .clause import clause
from .lexicon import (
    CLOTHES,
    DOCTORS,
    JOBS,
    LANGUAGES,
    MOODS,
    PLACES,
)
from .people import (
    AGES,
    AGO,
    AT_TIMES,
    CITIES,
    COUNTRIES,
    FEW,
    ME,
    MONTHS,
    NEAR,
    NOW,
    OTHERS,
    PEOPLE,
    RELATIVES,
    SEASONS,
    SHORT_SPANS,
    SOON,
    SPANS,
)
from .verbs import LIKE, LIVING, PASTIMES, SPEAK
from .words import adjectives, only, phrases

WEATHER_NOW = phrases("""
il pleut = it is raining
il neige = it is snowing
il fait froid = it is cold
il fait très chaud = it is very hot
il y a du vent = it is windy
il y a du brouillard = it is foggy
""")
WEATHER_OFTEN = phrases("""
il pleut souvent = it often rains
il neige souvent = it often snows
il fait souvent froid = it is often cold
il fait souvent chaud = it is often hot
il y a souvent du vent = it is often windy
il y a souvent du brouillard = it is often foggy
""")
WEATHER_PAST = phrases("""
il a plu = it rained
il a neigé = it snowed
il a fait froid = it was cold
il a fait très chaud = it was very hot
il y a eu du vent = it was windy
il y a eu du brouillard = it was foggy
""")
WEATHER_SOON = phrases("""
pleuvoir = rain
neiger = snow
faire froid = be cold
faire très chaud = be very hot
""")
WARMER = phrases("""
plus chaud = hotter
plus froid = colder
moins chaud = less hot
moins froid = less cold
""")
ILLS = phrases("""
mal à la tête = a headache
mal aux dents = a toothache
mal à la gorge = a sore throat
de la fièvre = a fever
un rhume = a cold
la grippe = the flu
""")
NEEDS = phrases("""
d'un médecin = a doctor
d'un dentiste = a dentist
d'une ambulance = an ambulance
d'un médicament = medicine
d'un verre d'eau = a glass of water
d'une couverture = a blanket
""")
DUTIES = phrases("""
prendre ce médicament = take this medicine
boire de l'eau chaude = drink hot water
appeler le médecin = call the doctor
aller à la pharmacie = go to the pharmacy
""")
REST = phrases("""
rester au lit = stay in bed
rester à la maison = stay at home
rester à l'hôpital = stay in the hospital
""")
UNABLE = phrases("""
marcher = walk
dormir = sleep
manger = eat
travailler = work
parler = speak
""")
FALLS = phrases("""
dans la rue = in the street
dans la douche = in the shower
dans la cuisine = in the kitchen
devant la gare = in front of the station
à la piscine = at the swimming pool
sur la plage = on the beach
""")
BORN = adjectives("né née born")
FALLEN = adjectives("tombé tombée fell")
OUTDOOR_CLOTHES = only(CLOTHES, "coat hat scarf jacket")
WORKPLACES = only(PLACES, "museum hotel bank pharmacy hospital library restaurant theater school bakery")

WEATHER = [
    clause("{weather} à {city} {now}.", "{weather} in {city} {now}.", weather=WEATHER_NOW, city=CITIES, now=NOW),
    clause("{weather} {month} {country}.", "{weather} {country} {month}.",
           weather=WEATHER_OFTEN, country=COUNTRIES, month=MONTHS + SEASONS),
    clause("{weather} à {city} {ago}.", "{weather} in {city} {ago}.", weather=WEATHER_PAST, city=CITIES, ago=AGO),
    clause("il va {weather} à {city} {soon}.", "it is going to {weather} in {city} {soon}.",
           weather=WEATHER_SOON, city=CITIES, soon=SOON),
    clause("est-ce qu'il va {weather} {soon} à {city}?", "is it going to {weather} {soon} in {city}?",
           weather=WEATHER_SOON, city=CITIES, soon=SOON),
    clause("il fait {warmer} à {city} que à {other}.", "it is {warmer} in {city} than in {other}.",
           warmer=WARMER, city=CITIES, other=CITIES),
    clause("prenez votre {thing} parce que {weather} à {city}.", "take your {thing} because {weather} in {city}.",
           thing=OUTDOOR_CLOTHES, weather=WEATHER_NOW, city=CITIES),
    clause("quel temps fait-il à {city} {season}?", "what is the weather like in {city} {season}?",
           city=CITIES, season=SEASONS + MONTHS),
]

HEALTH = [
    clause("{who} {who.a} {ill} depuis {span}.",
           "{who} {who.have} had {ill} for {span}.", who=PEOPLE, ill=ILLS, span=SHORT_SPANS),
    clause("{who} {who.est} {mood:{who.gender}} depuis {ago}.",
           "{who} {who.have} been {mood} since {ago}.", who=PEOPLE, mood=MOODS, ago=AGO),
    clause("{who} {who.a} besoin {what} {soon}.",
           "{who} {who.need} {what} {soon}.", who=PEOPLE, what=NEEDS, soon=SOON[:4]),
    clause("{who} {who.doit} {duty} {n} fois par jour.",
           "{who} must {duty} {n} times a day.", who=PEOPLE, duty=DUTIES, n=FEW),
    clause("{who} {who.doit} {rest} pendant {span}.",
           "{who} must {rest} for {span}.", who=PEOPLE, rest=REST, span=SHORT_SPANS),
    clause("{who} ne {who.peut} pas {do} {soon}.",
           "{who} cannot {do} {soon}.", who=PEOPLE, do=UNABLE, soon=SOON),
    clause("où est-ce que {who} {who.peut} trouver {doctor.un} {near} {place.le}?",
           "where can {who} find {doctor.a} {near} the {place}?",
           who=PEOPLE, doctor=DOCTORS[:2], near=NEAR[:4], place=PLACES),
    clause("{who} {who.est} {fell:{who.gender}} {where} {ago}.",
           "{who} {fell} {where} {ago}.", who=PEOPLE, fell=FALLEN, where=FALLS, ago=AGO),
    clause("est-ce que {who} {who.est} encore {mood:{who.gender}}?",
           "{who.be} {who} still {mood}?", who=PEOPLE, mood=MOODS),
    clause("est-ce que {who} {who.a} encore {ill} {now}?",
           "{who.do} {who} still have {ill} {now}?", who=OTHERS, ill=ILLS, now=NOW),
]

PEOPLE_TALK = [
    clause("{who} {who.est} {job:{who.gender}} à {city}.",
           "{who} {who.be} a {job} in {city}.", who=[ME, *RELATIVES], job=JOBS, city=CITIES),
    clause("{who} {who.a} {n} ans {now}.", "{who} {who.be} {n} years old {now}.", who=[ME, *RELATIVES], n=AGES, now=NOW[:1]),
    clause("{who} {live:{who.key}} {country} depuis {span}.",
           "{who} {who.have} {live.done} {country} for {span}.",
           who=PEOPLE, live=LIVING, country=COUNTRIES, span=SPANS),
    clause("{who} {live:{who.key}} dans {place.un} à {city}.",
           "{who} {live:{who.key}} in {place.a} in {city}.",
           who=PEOPLE, live=LIVING[1:], place=WORKPLACES, city=CITIES),
    clause("{who} {speak:{who.key}} {language} et {other}.",
           "{who} {speak:{who.key}} {language} and {other}.",
           who=PEOPLE, speak=SPEAK, language=LANGUAGES, other=LANGUAGES),
    clause("est-ce que {who} {speak:{who.key}} {language} {when}?",
           "{who.do} {who} {speak} {language} {when}?", who=OTHERS, speak=SPEAK, language=LANGUAGES, when=AT_TIMES[3:]),
    clause("{who} {who.est} {born:{who.gender}} à {city} {month}.",
           "{who} {who.was} {born} in {city} {month}.", who=PEOPLE, born=BORN, city=CITIES, month=MONTHS),
    clause("{who} {who.est} très {mood:{who.gender}} {now}.",
           "{who} {who.be} very {mood} {now}.", who=PEOPLE, mood=MOODS, now=NOW),
    clause("{who} {like:{who.key}} {act} {act.what} {season}.",
           "{who} {like:{who.key}} {act.doing} {act.what} {season}.",
           who=PEOPLE, like=LIKE, act=PASTIMES, season=SEASONS),
    clause("{who} {speak:{who.key}} un peu {language} {when}.",
           "{who} {speak:{who.key}} a little {language} {when}.",
           who=PEOPLE, speak=SPEAK, language=LANGUAGES, when=AT_TIMES[3:]),
]
