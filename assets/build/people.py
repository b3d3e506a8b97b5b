"""Persons, places on the map, numbers and times."""

from .words import Pair, person, phrases

ME = person("je", "je", "m", "i")
WE = person("nous", "nous", "mp", "we")
YOU = person("vous", "vous", "m", "you")
RELATIVES = [
    person("mon père", "il", "m", "my father"),
    person("ma mère", "il", "f", "my mother"),
    person("mon frère", "il", "m", "my brother"),
    person("ma fille", "il", "f", "my daughter"),
    person("ma tante", "il", "f", "my aunt"),
    person("votre oncle", "il", "m", "your uncle"),
    person("notre guide", "il", "m", "our guide"),
]
GROUPS = [
    person("mes parents", "ils", "mp", "my parents"),
    person("nos amis", "ils", "mp", "our friends"),
    person("les enfants", "ils", "mp", "the children"),
    person("vos voisins", "ils", "mp", "your neighbors"),
]
OTHERS = RELATIVES + GROUPS
PEOPLE = [ME, ME, WE, WE, WE, *OTHERS]  # subjects with their own verb forms are more frequent

CITIES = phrases("""
paris = paris
lyon = lyon
marseille = marseille
bordeaux = bordeaux
toulouse = toulouse
genève = geneva
bruxelles = brussels
londres = london
rome = rome
madrid = madrid
berlin = berlin
lisbonne = lisbon
""")
COUNTRIES = phrases("""
en france = in france
en italie = in italy
en espagne = in spain
en allemagne = in germany
au japon = in japan
au portugal = in portugal
""")
DAYS = phrases("""
lundi = monday
mardi = tuesday
mercredi = wednesday
jeudi = thursday
vendredi = friday
samedi = saturday
dimanche = sunday
""")
SEASONS = phrases("""
au printemps = in spring
en été = in summer
en automne = in fall
en hiver = in winter
""")
MONTHS = phrases("""
en janvier = in january
en mars = in march
en avril = in april
en juin = in june
en juillet = in july
en octobre = in october
""")
NUMBERS = phrases("""
deux = two
trois = three
quatre = four
cinq = five
six = six
sept = seven
huit = eight
neuf = nine
dix = ten
onze = eleven
douze = twelve
""")
FEW = NUMBERS[:5]
TENS = phrases("""
quinze = fifteen
vingt = twenty
trente = thirty
quarante = forty
cinquante = fifty
soixante = sixty
cent = one hundred
""")
PRICES = NUMBERS[3:] + TENS
ORDINALS = phrases("""
première = first
deuxième = second
troisième = third
quatrième = fourth
""")

AGES = NUMBERS[3:] + TENS[:6]
CLOCK_HOURS = [("une heure", "one")] + [(f"{n.fr} heures", n.en) for n in NUMBERS]
FULL_HOURS = [Pair(fr, f"{en} o'clock") for fr, en in CLOCK_HOURS] + phrases("midi = noon")
CLOCK = [
    *FULL_HOURS,
    *(Pair(f"{fr} et demie", f"half past {en}") for fr, en in CLOCK_HOURS),
    *(Pair(f"{fr} et quart", f"a quarter past {en}") for fr, en in CLOCK_HOURS),
    *(Pair(f"{fr} moins le quart", f"a quarter to {en}") for fr, en in CLOCK_HOURS),
]
PARTS_OF_DAY = [
    Pair(f"{day.fr} {fr}", f"{day.en} {en}")
    for day in DAYS
    for fr, en in (("matin", "morning"), ("après-midi", "afternoon"), ("soir", "evening"))
]
SOON = phrases("""
ce soir = this evening
demain = tomorrow
demain matin = tomorrow morning
cet après-midi = this afternoon
la semaine prochaine = next week
le mois prochain = next month
lundi prochain = next monday
jeudi prochain = next thursday
samedi prochain = next saturday
""")
AGO = phrases("""
hier = yesterday
hier soir = yesterday evening
ce matin = this morning
la semaine dernière = last week
le mois dernier = last month
mardi dernier = last tuesday
vendredi dernier = last friday
dimanche dernier = last sunday
""")
OFTEN = phrases("""
tous les jours = every day
tous les matins = every morning
tous les soirs = every evening
le lundi = on mondays
le mercredi = on wednesdays
le samedi = on saturdays
""")
SPANS = [
    Pair(f"{n.fr} {fr}", f"{n.en} {en}")
    for n in NUMBERS
    for fr, en in (("semaines", "weeks"), ("mois", "months"), ("ans", "years"))
]
SHORT_SPANS = [
    Pair(f"{n.fr} {fr}", f"{n.en} {en}")
    for n in NUMBERS
    for fr, en in (("heures", "hours"), ("jours", "days"))
]
WEEKLY = [Pair(f"le {day.fr}", f"on {day.en}s") for day in DAYS]
AT_TIMES = phrases("""
le matin = in the morning
le soir = in the evening
à midi = at noon
au travail = at work
à la maison = at home
""")
NEAR = phrases("""
près de = near
derrière = behind
à côté de = next to
en face de = across from
loin de = far from
""")
SPOTS = phrases("""
sur la table = on the table
dans la voiture = in the car
sous le lit = under the bed
dans la cuisine = in the kitchen
derrière la porte = behind the door
à la réception = at the reception
devant la fenêtre = in front of the window
""")
NOW = phrases("""
aujourd'hui = today
ce matin = this morning
ce soir = this evening
cet après-midi = this afternoon
""")
