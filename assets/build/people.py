"""Persons, places on the map, numbers and times."""

from .spanish import SpanishHour
from .words import Entry, person, phrases

ME = person("je", "je", "m", "i", "")
WE = person("nous", "nous", "mp", "we", "")
YOU = person("vous", "vous", "m", "you", "usted")
RELATIVES = [
    person("mon père", "il", "m", "my father", "mi padre"),
    person("ma mère", "il", "f", "my mother", "mi madre"),
    person("mon frère", "il", "m", "my brother", "mi hermano"),
    person("ma fille", "il", "f", "my daughter", "mi hija"),
    person("ma tante", "il", "f", "my aunt", "mi tía"),
    person("votre oncle", "il", "m", "your uncle", "su tío"),
    person("notre guide", "il", "m", "our guide", "nuestro guía"),
]
GROUPS = [
    person("mes parents", "ils", "mp", "my parents", "mis padres"),
    person("nos amis", "ils", "mp", "our friends", "nuestros amigos"),
    person("les enfants", "ils", "mp", "the children", "los niños"),
    person("vos voisins", "ils", "mp", "your neighbors", "sus vecinos"),
]
OTHERS = RELATIVES + GROUPS
PEOPLE = [ME, ME, WE, WE, WE, *OTHERS]  # subjects with their own verb forms are more frequent

CITIES = phrases("""
paris = paris = parís
lyon = lyon = lyon
marseille = marseille = marsella
bordeaux = bordeaux = burdeos
toulouse = toulouse = toulouse
genève = geneva = ginebra
bruxelles = brussels = bruselas
londres = london = londres
rome = rome = roma
madrid = madrid = madrid
berlin = berlin = berlín
lisbonne = lisbon = lisboa
""")
COUNTRIES = phrases("""
en france = in france = en francia
en italie = in italy = en italia
en espagne = in spain = en españa
en allemagne = in germany = en alemania
au japon = in japan = en japón
au portugal = in portugal = en portugal
""")
DAYS = phrases("""
lundi = monday = lunes
mardi = tuesday = martes
mercredi = wednesday = miércoles
jeudi = thursday = jueves
vendredi = friday = viernes
samedi = saturday = sábado
dimanche = sunday = domingo
""")
SEASONS = phrases("""
au printemps = in spring = en primavera
en été = in summer = en verano
en automne = in fall = en otoño
en hiver = in winter = en invierno
""")
MONTHS = phrases("""
en janvier = in january = en enero
en mars = in march = en marzo
en avril = in april = en abril
en juin = in june = en junio
en juillet = in july = en julio
en octobre = in october = en octubre
""")
NUMBERS = phrases("""
deux = two = dos
trois = three = tres
quatre = four = cuatro
cinq = five = cinco
six = six = seis
sept = seven = siete
huit = eight = ocho
neuf = nine = nueve
dix = ten = diez
onze = eleven = once
douze = twelve = doce
""")
FEW = NUMBERS[:5]
TENS = phrases("""
quinze = fifteen = quince
vingt = twenty = veinte
trente = thirty = treinta
quarante = forty = cuarenta
cinquante = fifty = cincuenta
soixante = sixty = sesenta
cent = one hundred = cien
""")
PRICES = NUMBERS[3:] + TENS
ORDINALS = phrases("""
première = first = primera
deuxième = second = segunda
troisième = third = tercera
quatrième = fourth = cuarta
""")

AGES = NUMBERS[3:] + TENS[:6]
HOUR_NAMES = [("une heure", "one", "la una")] + [(f"{n.fr} heures", n.en, f"las {n.es}") for n in NUMBERS]
NOON = Entry("midi", "noon", SpanishHour("el mediodía"))
FULL_HOURS = [Entry(fr, f"{en} o'clock", SpanishHour(es)) for fr, en, es in HOUR_NAMES] + [NOON]
CLOCK = [
    *FULL_HOURS,
    *(Entry(f"{fr} et demie", f"half past {en}", SpanishHour(f"{es} y media")) for fr, en, es in HOUR_NAMES),
    *(Entry(f"{fr} et quart", f"a quarter past {en}", SpanishHour(f"{es} y cuarto")) for fr, en, es in HOUR_NAMES),
    *(Entry(f"{fr} moins le quart", f"a quarter to {en}", SpanishHour(f"{es} menos cuarto")) for fr, en, es in HOUR_NAMES),
]
PARTS_OF_DAY = [
    Entry(f"{day.fr} {part.fr}", f"{day.en} {part.en}", f"{day.es} por la {part.es}")
    for day in DAYS
    for part in phrases("""
matin = morning = mañana
après-midi = afternoon = tarde
soir = evening = noche
""")
]
SOON = phrases("""
ce soir = this evening = esta noche
demain = tomorrow = mañana
demain matin = tomorrow morning = mañana por la mañana
cet après-midi = this afternoon = esta tarde
la semaine prochaine = next week = la próxima semana
le mois prochain = next month = el próximo mes
lundi prochain = next monday = el próximo lunes
jeudi prochain = next thursday = el próximo jueves
samedi prochain = next saturday = el próximo sábado
""")
AGO = phrases("""
hier = yesterday = ayer
hier soir = yesterday evening = anoche
ce matin = this morning = esta mañana
la semaine dernière = last week = la semana pasada
le mois dernier = last month = el mes pasado
mardi dernier = last tuesday = el martes pasado
vendredi dernier = last friday = el viernes pasado
dimanche dernier = last sunday = el domingo pasado
""")
OFTEN = phrases("""
tous les jours = every day = todos los días
tous les matins = every morning = todas las mañanas
tous les soirs = every evening = todas las noches
le lundi = on mondays = los lunes
le mercredi = on wednesdays = los miércoles
le samedi = on saturdays = los sábados
""")
def _spans(units: str) -> list[Entry]:
    """Return every number with every unit of time."""
    return [Entry(*(f"{n} {unit}" for n, unit in zip(number, kind))) for number in NUMBERS for kind in phrases(units)]


SPANS = _spans("""
semaines = weeks = semanas
mois = months = meses
ans = years = años
""")
SHORT_SPANS = _spans("""
heures = hours = horas
jours = days = días
""")
WEEKLY = [Entry(f"le {day.fr}", f"on {day.en}s", f"los {day.es.removesuffix('s')}s") for day in DAYS]
AT_TIMES = phrases("""
le matin = in the morning = por la mañana
le soir = in the evening = por la noche
à midi = at noon = al mediodía
au travail = at work = en el trabajo
à la maison = at home = en casa
""")
NEAR = phrases("""
près de = near = cerca de
derrière = behind = detrás de
à côté de = next to = al lado de
en face de = across from = enfrente de
loin de = far from = lejos de
""")
SPOTS = phrases("""
sur la table = on the table = sobre la mesa
dans la voiture = in the car = en el coche
sous le lit = under the bed = debajo de la cama
dans la cuisine = in the kitchen = en la cocina
derrière la porte = behind the door = detrás de la puerta
à la réception = at the reception = en la recepción
devant la fenêtre = in front of the window = delante de la ventana
""")
NOW = phrases("""
aujourd'hui = today = hoy
ce matin = this morning = esta mañana
ce soir = this evening = esta noche
cet après-midi = this afternoon = esta tarde
""")
