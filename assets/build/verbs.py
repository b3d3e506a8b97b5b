"""Verbs with what usually follows them, by the kind of sentence they fit."""

from .words import verb

LIVING = [
    verb("habiter", "live lived lived living"),
    verb("travailler", "work worked worked working"),
]
MOVING = [  # take être; followed by the name of a city
    verb("aller vais va allons allez vont allé", "go went gone going", "à", "to"),
    verb("arriver", "arrive arrived arrived arriving", "à", "in"),
    verb("rester", "stay stayed stayed staying", "à", "in"),
    verb("retourner", "return returned returned returning", "à", "to"),
    verb("partir pars part partons partez partent parti", "leave left left leaving", "de"),
]
TRADES = [  # done to things one owns
    verb("acheter achète achète achetons achetez achètent acheté", "buy bought bought buying"),
    verb("vendre vends vend vendons vendez vendent vendu", "sell sold sold selling"),
    verb("perdre perds perd perdons perdez perdent perdu", "lose lost lost losing"),
    verb("prendre prends prend prenons prenez prennent pris", "take took taken taking"),
    verb("réparer", "repair repaired repaired repairing"),
    verb("choisir choisis choisit choisissons choisissez choisissent choisi", "choose chose chosen choosing"),
]
EATING = [
    verb("manger", "eat ate eaten eating"),
    verb("préparer", "prepare prepared prepared preparing"),
    verb("commander", "order ordered ordered ordering"),
]
SIGHTSEEING = [
    verb("visiter", "visit visited visited visiting"),
    verb("voir vois voit voyons voyez voient vu", "see saw seen seeing"),
    verb("photographier", "photograph photographed photographed photographing"),
    verb("dessiner", "draw drew drawn drawing"),
]
PASTIMES = [
    verb("jouer", "play played played playing", "au tennis", "tennis"),
    verb("nager", "swim swam swum swimming", "dans la mer", "in the sea"),
    verb("danser", "dance danced danced dancing", "avec des amis", "with friends"),
    verb("lire lis lit lisons lisez lisent lu", "read read read reading", "le journal", "the newspaper"),
    verb("regarder", "watch watched watched watching", "la télévision", "television"),
    verb("écouter", "listen listened listened listening", "la radio", "to the radio"),
    verb("chanter", "sing sang sung singing", "dans la rue", "in the street"),
    verb("marcher", "walk walked walked walking", "dans la forêt", "in the forest"),
    verb("voyager", "travel traveled traveled traveling", "en train", "by train"),
    verb("prendre prends prend prenons prenez prennent pris", "take took taken taking", "le métro", "the subway"),
    verb("écrire écris écrit écrivons écrivez écrivent écrit", "write wrote written writing", "à notre famille", "to our family"),
    verb("dormir dors dort dormons dormez dorment dormi", "sleep slept slept sleeping", "à l'hôtel", "at the hotel"),
    verb("étudier", "study studied studied studying", "à la maison", "at home"),
    verb("appeler appelle appelle appelons appelez appellent appelé", "call called called calling", "le bureau", "the office"),
]
LOOK = [verb("chercher", "look looked looked looking", en_what="for")]
FIND_OR_LOSE = [
    verb("trouver", "find found found finding"),
    verb("perdre perds perd perdons perdez perdent perdu", "lose lost lost losing"),
    verb("oublier", "forget forgot forgotten forgetting"),
]
PREFER = [verb("préférer préfère préfère préférons préférez préfèrent préféré", "prefer preferred preferred preferring")]
LIKE = [verb("aimer", "like liked liked liking")]
KNOW = [verb("connaître connais connaît connaissons connaissez connaissent connu", "know knew known knowing")]
LEARN = [verb("apprendre apprends apprend apprenons apprenez apprennent appris", "learn learned learned learning")]
SPEAK = [verb("parler", "speak spoke spoken speaking")]
EAT = [verb("manger", "eat ate eaten eating")]
DRINK = [verb("boire bois boit buvons buvez boivent bu", "drink drank drunk drinking")]
GO = [verb("aller vais va allons allez vont allé", "go went gone going")]
