"""Verbs and their usual complements, by kind of sentence."""

from .words import verb

LIVING = [
    verb("habiter", "live lived lived living"),
    verb("travailler", "work worked worked working"),
]
MOVING = [  # take être; followed by the name of a city
    verb("aller vais va allons allez vont allé", "go went gone going", "à", "to"),
    verb("arriver", "arrive arrived arrived arriving", "à", "in"),
    verb("rester", "stay stayed stayed staying", "à", "in"),
    verb("partir pars part partons partez partent parti", "leave left left leaving", "de"),
]
TRADES = [  # actions on belongings
    verb("acheter achète achète achetons achetez achètent acheté", "buy bought bought buying"),
    verb("vendre vends vend vendons vendez vendent vendu", "sell sold sold selling"),
    verb("perdre perds perd perdons perdez perdent perdu", "lose lost lost losing"),
    verb("réparer", "repair repaired repaired repairing"),
]
EATING = [
    verb("manger", "eat ate eaten eating"),
    verb("préparer", "prepare prepared prepared preparing"),
    verb("commander", "order ordered ordered ordering"),
]
SIGHTSEEING = [
    verb("visiter", "visit visited visited visiting"),
    verb("voir vois voit voyons voyez voient vu", "see saw seen seeing"),
    verb("dessiner", "draw drew drawn drawing"),
]
PASTIMES = [
    verb("jouer", "play played played playing", "au tennis", "tennis"),
    verb("nager", "swim swam swum swimming", "dans la mer", "in the sea"),
    verb("danser", "dance danced danced dancing", "dans la rue", "in the street"),
    verb("regarder", "watch watched watched watching", "la télévision", "television"),
    verb("écouter", "listen listened listened listening", "la radio", "to the radio"),
    verb("marcher", "walk walked walked walking", "dans la forêt", "in the forest"),
]
LOOK = [verb("chercher", "look looked looked looking", en_what="for")]
FIND_OR_LOSE = [
    verb("trouver", "find found found finding"),
    verb("perdre perds perd perdons perdez perdent perdu", "lose lost lost losing"),
    verb("oublier", "forget forgot forgotten forgetting"),
]
PREFER = [
    verb("préférer préfère préfère préférons préférez préfèrent préféré", "prefer preferred preferred preferring"),
]
LIKE = [verb("aimer", "like liked liked liking")]
SPEAK = [verb("parler", "speak spoke spoken speaking")]
EAT = [verb("manger", "eat ate eaten eating")]
DRINK = [verb("boire bois boit buvons buvez boivent bu", "drink drank drunk drinking")]
GO = [verb("aller vais va allons allez vont allé", "go went gone going")]
OPENING = [
    verb("ouvrir ouvre ouvre ouvrons ouvrez ouvrent ouvert", "open opened opened opening"),
    verb("fermer", "close closed closed closing"),
]
