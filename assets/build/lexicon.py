"""Nouns by what one does with them, adjectives by what they describe.

A slot of a clause takes its words from one or two of these tables, so that nobody eats a train.
The word choice keeps translation one to one: no word here has two translations in one meaning, and
no two French sentences differ in sound by spelling alone.
"""

from .words import adjectives, described, nouns

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
écharpe f scarf
bague f ring
ordinateur m computer
""")
CLOTHES = nouns("""
chemise f shirt
robe f dress
manteau m coat
chapeau m hat
jupe f skirt
écharpe f scarf
veste f jacket
cravate f tie
ceinture f belt
valise f suitcase
parapluie m umbrella
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
sucre m sugar
sel m salt
lait m milk
ail m garlic
""")
FILLINGS = [food for food in STAPLES if food.en.one in ("cheese", "fish", "chicken", "rice", "meat", "garlic")]
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
chaise f chair
clé f key
""")
DEVICES = nouns("""
douche f shower
lampe f lamp
télévision f television
chauffage m heating
téléphone m phone
réveil m alarm_clock
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
VEHICLES = nouns("""
train m train
bus m bus
avion m plane
bateau m boat
taxi m taxi
""")
SCHEDULED = VEHICLES[:4]

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
vert verte green
noir noire black
blanc blanche white
gris grise gray
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
dangereux dangereuse dangerous
plein pleine full
""")
CALM = PLACE_STATES[:4]
FOOD_STATES = adjectives("""
froid froide cold
chaud chaude hot
sucré sucrée sweet
salé salée salty
sec sèche dry
épicé épicée spicy
cher chère expensive
""")
CLOTHES_STATES = adjectives("""
petit petite small
grand grande big
cher chère expensive
vieux vieille old
long longue long
court courte short
lourd lourde heavy
""")
MOODS = adjectives("""
malade malade sick
fatigué fatiguée tired
heureux heureuse happy
prêt prête ready
occupé occupée busy
inquiet inquiète worried
triste triste sad
perdu perdue lost
seul seule alone
""")
JOBS = adjectives("""
médecin médecin doctor
professeur professeur teacher
journaliste journaliste journalist
dentiste dentiste dentist
pilote pilote pilot
musicien musicienne musician
boulanger boulangère baker
infirmier infirmière nurse
avocat avocate lawyer
étudiant étudiante student
""")

ROOM_KINDS = described(ROOMS, SIZES[:2] + CALM[:3])
