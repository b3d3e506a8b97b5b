"""Nouns by their use, adjectives by the nouns that they describe.

A slot of a clause takes its words from one or two of these tables, so that nobody eats a train.
Translation is one to one: each meaning of a word has one translation, and French sentences that
sound the same are spelt the same.
"""

from .words import adjectives, described, nouns, only

PLACES = nouns("""
gare f station
musée m museum
hôtel m hotel
banque f bank
pharmacie f pharmacy
marché m market
église f church
aéroport m airport
plage f beach
parc m park
hôpital m hospital
bibliothèque f library
restaurant m restaurant
piscine f swimming_pool
château m castle
théâtre m theater
port m harbor
école f school
boulangerie f bakery
stade m stadium
""")
SIGHTS = nouns("""
musée m museum
château m castle
église f church
port m harbor
marché m market
jardin m garden
village m village
tour f tower
île f island
pont m bridge
""")
OPEN_PLACES = nouns("""
musée m museum
banque f bank
pharmacie f pharmacy
marché m market
bibliothèque f library
restaurant m restaurant
piscine f swimming_pool
château m castle
boulangerie f bakery
magasin m store
""")
BELONGINGS = nouns("""
valise f suitcase
sac m bag
clé f key
passeport m passport
téléphone m phone
parapluie m umbrella
montre f watch
portefeuille m wallet
manteau m coat
chapeau m hat
livre m book
billet m ticket
écharpe f scarf écharpes scarves
bague f ring
ordinateur m computer
""")
CLOTHES = nouns("""
chemise f shirt
robe f dress
manteau m coat
chapeau m hat
jupe f skirt
écharpe f scarf écharpes scarves
veste f jacket
valise f suitcase
sac m bag
""")
STAPLES = nouns("""
pain m bread
fromage m cheese
poisson m fish
poulet m chicken
riz m rice
viande f meat
beurre m butter
chocolat m chocolate
lait m milk
ail m garlic
""")
FILLINGS = only(STAPLES, "cheese fish chicken rice meat garlic")
EATEN = [food for food in STAPLES if food.en.one != "milk"]
DISHES = nouns("""
soupe f soup
salade f salad
omelette f omelet
gâteau m cake
tarte f pie
crêpe f pancake
sandwich m sandwich
glace f ice_cream
""")
ROOM_THINGS = nouns("""
serviette f towel
couverture f blanket
oreiller m pillow
lampe f lamp
clé f key
""")
DEVICES = nouns("""
douche f shower
lampe f lamp
télévision f television
téléphone m phone
""")
FEATURES = nouns("""
douche f shower
balcon m balcony
télévision f television
terrasse f terrace
cuisine f kitchen
grand_lit m big_bed
""")
ROOMS = nouns("chambre f room")
SCHEDULED = nouns("""
train m train
bus m bus
avion m plane
""")

LODGINGS = nouns("""
hôtel m hotel
auberge f inn
appartement m apartment
maison f house
""")
DRINKS = nouns("""
vin m wine
lait m milk
thé m tea
café m coffee
bière f beer
eau f water
""")
EVENTS = nouns("""
concert m concert
film m movie
match m game
cours m class
réunion f meeting
fête f party
spectacle m show
""")
DOCTORS = nouns("""
médecin m doctor
dentiste m dentist
directeur m manager
avocat m lawyer
professeur m teacher
""")
LANGUAGES = nouns("""
français m french
anglais m english
espagnol m spanish
italien m italian
allemand m german
japonais m japanese
portugais m portuguese
""")

SIZES = adjectives("""
petit petite small first
grand grande big first
beau/bel belle beautiful first
nouveau/nouvel nouvelle new first
vieux/vieil vieille old first
""")
COLORS = adjectives("""
rouge rouge red
bleu bleue blue
noir noire black
blanc blanche white
jaune jaune yellow
""")
PLACE_STATES = adjectives("""
calme calme quiet
propre propre clean
moderne moderne modern
célèbre célèbre famous
cher chère expensive
fermé fermée closed
ouvert ouverte open
""")
CALM = PLACE_STATES[:4]
FOOD_STATES = adjectives("""
froid froide cold
chaud chaude hot
sucré sucrée sweet
salé salée salty
épicé épicée spicy
cher chère expensive
""")
CLOTHES_STATES = adjectives("""
petit petite small
grand grande big
cher chère expensive
""")
MOODS = adjectives("""
malade malade sick
fatigué fatiguée tired
heureux heureuse happy
inquiet inquiète worried
triste triste sad
""")
JOBS = adjectives("""
médecin médecin doctor
professeur professeur teacher
journaliste journaliste journalist
dentiste dentiste dentist
étudiant étudiante student
""")

ROOM_KINDS = described(ROOMS, SIZES[:2] + CALM[:3])
