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
from .spanish import spanish_verb
from .verbs import LIKE, LIVING, PASTIMES, SPEAK
from .words import Entry, FrenchAdjective, only, phrases

WEATHER_NOW = phrases("""
il pleut = it is raining = está lloviendo
il neige = it is snowing = está nevando
il fait froid = it is cold = hace frío
il fait très chaud = it is very hot = hace mucho calor
il y a du vent = it is windy = hace viento
il y a du brouillard = it is foggy = hay niebla
""")
WEATHER_OFTEN = phrases("""
il pleut souvent = it often rains = a menudo llueve
il neige souvent = it often snows = a menudo nieva
il fait souvent froid = it is often cold = a menudo hace frío
il fait souvent chaud = it is often hot = a menudo hace calor
il y a souvent du vent = it is often windy = a menudo hace viento
il y a souvent du brouillard = it is often foggy = a menudo hay niebla
""")
WEATHER_PAST = phrases("""
il a plu = it rained = llovió
il a neigé = it snowed = nevó
il a fait froid = it was cold = hizo frío
il a fait très chaud = it was very hot = hizo mucho calor
il y a eu du vent = it was windy = hizo viento
il y a eu du brouillard = it was foggy = hubo niebla
""")
WEATHER_SOON = phrases("""
pleuvoir = rain = llover
neiger = snow = nevar
faire froid = be cold = hacer frío
faire très chaud = be very hot = hacer mucho calor
""")
WARMER = phrases("""
plus chaud = hotter = más calor
plus froid = colder = más frío
moins chaud = less hot = menos calor
moins froid = less cold = menos frío
""")
ILLS = phrases("""
mal à la tête = a headache = dolor de cabeza
mal aux dents = a toothache = dolor de muelas
mal à la gorge = a sore throat = dolor de garganta
de la fièvre = a fever = fiebre
un rhume = a cold = un resfriado
la grippe = the flu = gripe
""")
NEEDS = phrases("""
d'un médecin = a doctor = un médico
d'un dentiste = a dentist = un dentista
d'une ambulance = an ambulance = una ambulancia
d'un médicament = medicine = un medicamento
d'un verre d'eau = a glass of water = un vaso de agua
d'une couverture = a blanket = una manta
""")
DUTIES = phrases("""
prendre ce médicament = take this medicine = tomar este medicamento
boire de l'eau chaude = drink hot water = beber agua caliente
appeler le médecin = call the doctor = llamar al médico
aller à la pharmacie = go to the pharmacy = ir a la farmacia
""")
REST = phrases("""
rester au lit = stay in bed = en la cama
rester à la maison = stay at home = en casa
rester à l'hôpital = stay in the hospital = en el hospital
""")
UNABLE = phrases("""
marcher = walk = caminar
dormir = sleep = dormir
manger = eat = comer
travailler = work = trabajar
parler = speak = hablar
""")
FALLS = phrases("""
dans la rue = in the street = en la calle
dans la douche = in the shower = en la ducha
dans la cuisine = in the kitchen = en la cocina
devant la gare = in front of the station = delante de la estación
à la piscine = at the swimming pool = en la piscina
sur la plage = on the beach = en la playa
""")
BORN = [Entry(FrenchAdjective("né", "née", "né", False), "born", spanish_verb("nacer nazco nace nacemos nacen nací nació nacimos nacieron nacido"))]
FALLEN = [Entry(FrenchAdjective("tombé", "tombée", "tombé", False), "fell", spanish_verb("caerse caigo cae caemos caen caí cayó caímos cayeron caído"))]
OUTDOOR_CLOTHES = only(CLOTHES, "coat hat scarf jacket")
WORKPLACES = only(PLACES, "museum hotel bank pharmacy hospital library restaurant theater school bakery")

WEATHER = [
    clause("{weather} à {city} {now}.", "{weather} in {city} {now}.",
           "{weather} en {city} {now}.", weather=WEATHER_NOW, city=CITIES, now=NOW),
    clause("{weather} {month} {country}.", "{weather} {country} {month}.",
           "{weather} {country} {month}.",
           weather=WEATHER_OFTEN, country=COUNTRIES, month=MONTHS + SEASONS),
    clause("{weather} à {city} {ago}.", "{weather} in {city} {ago}.",
           "{weather} en {city} {ago}.", weather=WEATHER_PAST, city=CITIES, ago=AGO),
    clause("il va {weather} à {city} {soon}.", "it is going to {weather} in {city} {soon}.",
           "va a {weather} en {city} {soon}.",
           weather=WEATHER_SOON, city=CITIES, soon=SOON),
    clause("est-ce qu'il va {weather} {soon} à {city}?", "is it going to {weather} {soon} in {city}?",
           "va a {weather} {soon} en {city}?",
           weather=WEATHER_SOON, city=CITIES, soon=SOON),
    clause("il fait {warmer} à {city} que à {other}.", "it is {warmer} in {city} than in {other}.",
           "hace {warmer} en {city} que en {other}.",
           warmer=WARMER, city=CITIES, other=CITIES),
    clause("prenez votre {thing} parce que {weather} à {city}.", "take your {thing} because {weather} in {city}.",
           "lleve su {thing} porque {weather} en {city}.",
           thing=OUTDOOR_CLOTHES, weather=WEATHER_NOW, city=CITIES),
    clause("quel temps fait-il à {city} {season}?", "what is the weather like in {city} {season}?",
           "qué tiempo hace en {city} {season}?",
           city=CITIES, season=SEASONS + MONTHS),
]

HEALTH = [
    clause("{who} {who.a} {ill} depuis {span}.",
           "{who} {who.have} had {ill} for {span}.",
           "{who} {who.tiene} {ill} desde hace {span}.", who=PEOPLE, ill=ILLS, span=SHORT_SPANS),
    clause("{who} {who.est} {mood:{who.gender}} depuis {ago}.",
           "{who} {who.have} been {mood} since {ago}.",
           "{who} {who.esta} {mood:{who.gender}} desde {ago}.", who=PEOPLE, mood=MOODS, ago=AGO),
    clause("{who} {who.a} besoin {what} {soon}.",
           "{who} {who.need} {what} {soon}.",
           "{who} {who.necesita} {what} {soon}.", who=PEOPLE, what=NEEDS, soon=SOON[:4]),
    clause("{who} {who.doit} {duty} {n} fois par jour.",
           "{who} must {duty} {n} times a day.",
           "{who} {who.debe} {duty} {n} veces al día.", who=PEOPLE, duty=DUTIES, n=FEW),
    clause("{who} {who.doit} {rest} pendant {span}.",
           "{who} must {rest} for {span}.",
           "{who} {who.debe} quedar{who.se} {rest} durante {span}.", who=PEOPLE, rest=REST, span=SHORT_SPANS),
    clause("{who} ne {who.peut} pas {do} {soon}.",
           "{who} cannot {do} {soon}.",
           "{who} no {who.puede} {do} {soon}.", who=PEOPLE, do=UNABLE, soon=SOON),
    clause("où est-ce que {who} {who.peut} trouver {doctor.un} {near} {place.le}?",
           "where can {who} find {doctor.a} {near} the {place}?",
           "dónde {who.puede} {who} encontrar {doctor.un} {near} {place.el}?",
           who=PEOPLE, doctor=DOCTORS[:2], near=NEAR[:4], place=PLACES),
    clause("{who} {who.est} {fell:{who.gender}} {where} {ago}.",
           "{who} {fell} {where} {ago}.",
           "{who} {fell:did {who.key}} {where} {ago}.", who=PEOPLE, fell=FALLEN, where=FALLS, ago=AGO),
    clause("est-ce que {who} {who.est} encore {mood:{who.gender}}?",
           "{who.be} {who} still {mood}?",
           "{who.esta} {who} todavía {mood:{who.gender}}?", who=PEOPLE, mood=MOODS),
    clause("est-ce que {who} {who.a} encore {ill} {now}?",
           "{who.do} {who} still have {ill} {now}?",
           "{who.tiene} {who} todavía {ill} {now}?", who=OTHERS, ill=ILLS, now=NOW),
]

PEOPLE_TALK = [
    clause("{who} {who.est} {job:{who.gender}} à {city}.",
           "{who} {who.be} a {job} in {city}.",
           "{who} {who.es} {job:{who.gender}} en {city}.", who=[ME, *RELATIVES], job=JOBS, city=CITIES),
    clause("{who} {who.a} {n} ans {now}.", "{who} {who.be} {n} years old {now}.",
           "{who} {who.tiene} {n} años {now}.", who=[ME, *RELATIVES], n=AGES, now=NOW[:1]),
    clause("{who} {live:{who.key}} {country} depuis {span}.",
           "{who} {who.have} {live.done} {country} for {span}.",
           "{who} {live:{who.key}} {country} desde hace {span}.",
           who=PEOPLE, live=LIVING, country=COUNTRIES, span=SPANS),
    clause("{who} {live:{who.key}} dans {place.un} à {city}.",
           "{who} {live:{who.key}} in {place.a} in {city}.",
           "{who} {live:{who.key}} en {place.un} en {city}.",
           who=PEOPLE, live=LIVING[1:], place=WORKPLACES, city=CITIES),
    clause("{who} {speak:{who.key}} {language} et {other}.",
           "{who} {speak:{who.key}} {language} and {other}.",
           "{who} {speak:{who.key}} {language} y {other}.",
           who=PEOPLE, speak=SPEAK, language=LANGUAGES, other=LANGUAGES),
    clause("est-ce que {who} {speak:{who.key}} {language} {when}?",
           "{who.do} {who} {speak} {language} {when}?",
           "{speak:{who.key}} {who} {language} {when}?", who=OTHERS, speak=SPEAK, language=LANGUAGES, when=AT_TIMES[3:]),
    clause("{who} {who.est} {born:{who.gender}} à {city} {month}.",
           "{who} {who.was} {born} in {city} {month}.",
           "{who} {born:did {who.key}} en {city} {month}.", who=PEOPLE, born=BORN, city=CITIES, month=MONTHS),
    clause("{who} {who.est} très {mood:{who.gender}} {now}.",
           "{who} {who.be} very {mood} {now}.",
           "{who} {who.esta} muy {mood:{who.gender}} {now}.", who=PEOPLE, mood=MOODS, now=NOW),
    clause("{who} {like:{who.key}} {act} {act.what} {season}.",
           "{who} {like:{who.key}} {act.doing} {act.what} {season}.",
           "{who.le} {like:él} {act} {act.what} {season}.",
           who=PEOPLE, like=LIKE, act=PASTIMES, season=SEASONS),
    clause("{who} {speak:{who.key}} un peu {language} {when}.",
           "{who} {speak:{who.key}} a little {language} {when}.",
           "{who} {speak:{who.key}} un poco de {language} {when}.",
           who=PEOPLE, speak=SPEAK, language=LANGUAGES, when=AT_TIMES[3:]),
]
