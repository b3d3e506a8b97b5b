"""Verbs and their usual complements, by kind of sentence."""

from .words import verb

IR = "ir voy va vamos van fui fue fuimos fueron ido"
VER = "ver veo ve vemos ven vi vio vimos vieron visto"
PERDER = "perder pierdo pierde perdemos pierden perdí perdió perdimos perdieron perdido"

LOSE = verb("perdre perds perd perdons perdez perdent perdu", "lose lost lost losing", PERDER)
LIVING = [
    verb("habiter", "live lived lived living", "vivir"),
    verb("travailler", "work worked worked working", "trabajar"),
]
MOVING = [  # take être; followed by the name of a city
    verb("aller vais va allons allez vont allé", "go went gone going", IR, what=("à", "to", "a")),
    verb("arriver", "arrive arrived arrived arriving", "llegar", what=("à", "in", "a")),
    verb("rester", "stay stayed stayed staying", "quedarse", what=("à", "in", "en")),
    verb("partir pars part partons partez partent parti", "leave left left leaving",
         "salir salgo sale salimos salen salí salió salimos salieron salido", what=("de", "", "de")),
]
TRADES = [  # actions on belongings
    verb("acheter achète achète achetons achetez achètent acheté", "buy bought bought buying", "comprar"),
    verb("vendre vends vend vendons vendez vendent vendu", "sell sold sold selling", "vender"),
    LOSE,
    verb("réparer", "repair repaired repaired repairing", "reparar"),
]
EATING = [
    verb("manger", "eat ate eaten eating", "comer"),
    verb("préparer", "prepare prepared prepared preparing", "preparar"),
    verb("commander", "order ordered ordered ordering",
         "pedir pido pide pedimos piden pedí pidió pedimos pidieron pedido"),
]
SIGHTSEEING = [
    verb("visiter", "visit visited visited visiting", "visitar"),
    verb("voir vois voit voyons voyez voient vu", "see saw seen seeing", VER),
    verb("dessiner", "draw drew drawn drawing", "dibujar"),
]
PASTIMES = [
    verb("jouer", "play played played playing",
         "jugar juego juega jugamos juegan jugué jugó jugamos jugaron jugado", what=("au tennis", "tennis", "al tenis")),
    verb("nager", "swim swam swum swimming", "nadar", what=("dans la mer", "in the sea", "en el mar")),
    verb("danser", "dance danced danced dancing", "bailar", what=("dans la rue", "in the street", "en la calle")),
    verb("regarder", "watch watched watched watching",
         VER, what=("la télévision", "television", "la televisión")),
    verb("écouter", "listen listened listened listening", "escuchar", what=("la radio", "to the radio", "la radio")),
    verb("marcher", "walk walked walked walking", "caminar", what=("dans la forêt", "in the forest", "por el bosque")),
]
LOOK = [verb("chercher", "look looked looked looking", "buscar", what=("", "for", ""))]
FIND_OR_LOSE = [
    verb("trouver", "find found found finding",
         "encontrar encuentro encuentra encontramos encuentran encontré encontró encontramos encontraron encontrado"),
    LOSE,
    verb("oublier", "forget forgot forgotten forgetting", "olvidar"),
]
MISS = [verb("manquer", "miss missed missed missing", PERDER)]
PREFER = [
    verb("préférer préfère préfère préférons préférez préfèrent préféré", "prefer preferred preferred preferring",
         "preferir prefiero prefiere preferimos prefieren preferí prefirió preferimos prefirieron preferido"),
]
LIKE = [verb("aimer", "like liked liked liking", "gustar")]
SPEAK = [verb("parler", "speak spoke spoken speaking", "hablar")]
EAT = [verb("manger", "eat ate eaten eating", "comer")]
DRINK = [verb("boire bois boit buvons buvez boivent bu", "drink drank drunk drinking", "beber")]
GO = [verb("aller vais va allons allez vont allé", "go went gone going", IR)]
OPENING = [
    verb("ouvrir ouvre ouvre ouvrons ouvrez ouvrent ouvert", "open opened opened opening",
         "abrir abro abre abrimos abren abrí abrió abrimos abrieron abierto"),
    verb("fermer", "close closed closed closing",
         "cerrar cierro cierra cerramos cierran cerré cerró cerramos cerraron cerrado"),
]
