"""Nouns by their use, adjectives by the nouns that they describe.

A slot of a clause takes its words from one or two of these tables, so that nobody eats a train.
Translation is one to one: each meaning of a word has one translation, and French sentences that
sound the same are spelt the same.
"""

from .words import adjectives, described, nouns, only

PLACES = nouns("""
gare f station | estación f
musée m museum | museo m
hôtel m hotel | hotel m
banque f bank | banco m
pharmacie f pharmacy | farmacia f
marché m market | mercado m
église f church | iglesia f
aéroport m airport | aeropuerto m
plage f beach | playa f
parc m park | parque m
hôpital m hospital | hospital m
bibliothèque f library | biblioteca f
restaurant m restaurant | restaurante m
piscine f swimming_pool | piscina f
château m castle | castillo m
théâtre m theater | teatro m
port m harbor | puerto m
école f school | escuela f
boulangerie f bakery | panadería f
stade m stadium | estadio m
""")
SIGHTS = nouns("""
musée m museum | museo m
château m castle | castillo m
église f church | iglesia f
port m harbor | puerto m
marché m market | mercado m
jardin m garden | jardín m
village m village | pueblo m
tour f tower | torre f
île f island | isla f
pont m bridge | puente m
""")
OPEN_PLACES = nouns("""
musée m museum | museo m
banque f bank | banco m
pharmacie f pharmacy | farmacia f
marché m market | mercado m
bibliothèque f library | biblioteca f
restaurant m restaurant | restaurante m
piscine f swimming_pool | piscina f
château m castle | castillo m
boulangerie f bakery | panadería f
magasin m store | tienda f
""")
BELONGINGS = nouns("""
valise f suitcase | maleta f
sac m bag | bolso m
clé f key | llave f
passeport m passport | pasaporte m
téléphone m phone | teléfono m
parapluie m umbrella | paraguas m
montre f watch | reloj m
portefeuille m wallet | cartera f
manteau m coat | abrigo m
chapeau m hat | sombrero m
livre m book | libro m
billet m ticket | billete m
écharpe f scarf écharpes scarves | bufanda f
bague f ring | anillo m
ordinateur m computer | ordenador m
""")
CLOTHES = nouns("""
chemise f shirt | camisa f
robe f dress | vestido m
manteau m coat | abrigo m
chapeau m hat | sombrero m
jupe f skirt | falda f
écharpe f scarf écharpes scarves | bufanda f
veste f jacket | chaqueta f
valise f suitcase | maleta f
sac m bag | bolso m
""")
STAPLES = nouns("""
pain m bread | pan m
fromage m cheese | queso m
poisson m fish | pescado m
poulet m chicken | pollo m
riz m rice | arroz m
viande f meat | carne f
beurre m butter | mantequilla f
chocolat m chocolate | chocolate m
lait m milk | leche f
ail m garlic | ajo m
""")
FILLINGS = only(STAPLES, "cheese fish chicken rice meat garlic")
EATEN = [food for food in STAPLES if food.en.one != "milk"]
DISHES = nouns("""
soupe f soup | sopa f
salade f salad | ensalada f
omelette f omelet | tortilla f
gâteau m cake | pastel m
tarte f pie | tarta f
crêpe f pancake | crepe f
sandwich m sandwich | bocadillo m
glace f ice_cream | helado m
""")
ROOM_THINGS = nouns("""
serviette f towel | toalla f
couverture f blanket | manta f
oreiller m pillow | almohada f
lampe f lamp | lámpara f
clé f key | llave f
""")
DEVICES = nouns("""
douche f shower | ducha f
lampe f lamp | lámpara f
télévision f television | televisión f
téléphone m phone | teléfono m
""")
FEATURES = nouns("""
douche f shower | ducha f
balcon m balcony | balcón m
télévision f television | televisión f
terrasse f terrace | terraza f
cuisine f kitchen | cocina f
grand_lit m big_bed | cama_grande f
""")
ROOMS = nouns("chambre f room | habitación f")
SCHEDULED = nouns("""
train m train | tren m
bus m bus | autobús m
avion m plane | avión m
""")

LODGINGS = nouns("""
hôtel m hotel | hotel m
auberge f inn | posada f
appartement m apartment | apartamento m
maison f house | casa f
""")
DRINKS = nouns("""
vin m wine | vino m
lait m milk | leche f
thé m tea | té m
café m coffee | café m
bière f beer | cerveza f
eau f water | agua f
""")
EVENTS = nouns("""
concert m concert | concierto m
film m movie | película f
match m game | partido m
cours m class | clase f
réunion f meeting | reunión f
fête f party | fiesta f
spectacle m show | espectáculo m
""")
DOCTORS = nouns("""
médecin m doctor | médico m
dentiste m dentist | dentista m
directeur m manager | director m
avocat m lawyer | abogado m
professeur m teacher | profesor m
""")
LANGUAGES = nouns("""
français m french | francés m
anglais m english | inglés m
espagnol m spanish | español m
italien m italian | italiano m
allemand m german | alemán m
japonais m japanese | japonés m
portugais m portuguese | portugués m
""")

SIZES = adjectives("""
petit petite small first | pequeño
grand grande big first | grande
beau/bel belle beautiful first | bonito
nouveau/nouvel nouvelle new first | nuevo
vieux/vieil vieille old first | viejo
""")
COLORS = adjectives("""
rouge rouge red | rojo
bleu bleue blue | azul
noir noire black | negro
blanc blanche white | blanco
jaune jaune yellow | amarillo
""")
PLACE_STATES = adjectives("""
calme calme quiet | tranquilo//estar
propre propre clean | limpio//estar
moderne moderne modern | moderno
célèbre célèbre famous | famoso
cher chère expensive | caro
fermé fermée closed | cerrado//estar
ouvert ouverte open | abierto//estar
""")
CALM = PLACE_STATES[:4]
FOOD_STATES = adjectives("""
froid froide cold | frío//estar
chaud chaude hot | caliente//estar
sucré sucrée sweet | dulce//estar
salé salée salty | salado//estar
épicé épicée spicy | picante//estar
cher chère expensive | caro
""")
CLOTHES_STATES = adjectives("""
petit petite small | pequeño
grand grande big | grande
cher chère expensive | caro
""")
MOODS = adjectives("""
malade malade sick | enfermo//estar
fatigué fatiguée tired | cansado//estar
heureux heureuse happy | feliz//estar
inquiet inquiète worried | preocupado//estar
triste triste sad | triste//estar
""")
JOBS = adjectives("""
médecin médecin doctor | médico
professeur professeur teacher | profesor/profesora
journaliste journaliste journalist | periodista
dentiste dentiste dentist | dentista
étudiant étudiante student | estudiante
""")

ROOM_KINDS = described(ROOMS, SIZES[:2] + CALM[:3])
