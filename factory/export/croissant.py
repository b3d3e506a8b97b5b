"""Metadata of an exported dataset for search engines and loaders: Croissant 1.1 with its RAI vocabulary and PROV.

It says nothing that the card does not say; machines can read it. `mlcroissant` validates it without a network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from factory.export.base import ExportedRound
from factory.recipe.paths import portable_paths
from factory.recipe.recipe import Recipe
from schemas.datasets import Row

CROISSANT = "croissant.json"
"""The file of an export."""
REPOSITORY = "repository"
"""The id of the place that holds the files; mlcroissant's `mapping` gives it a local folder."""
_TEXTS = ("pair_id", "utt_id", "src_lang", "tgt_lang", "prompt", "chosen", "rejected")
_COLUMNS = dict.fromkeys((*_TEXTS, "source_text", "chosen_text", "rejected_text", "metric"), "sc:Text") | {
    "margin": "sc:Float"
}
"""The columns of an export as Parquet that a record set names, and their types; the files have more."""
_NO_SHA = "https://github.com/mlcommons/croissant/issues/80"
"""What Croissant wants in place of the hash of a repository."""
_CONTEXT: Row = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Croissant's own context, which its validator compares word for word, and PROV."""


def render_croissant(recipe: Recipe, rounds: Mapping[str, ExportedRound], url: str, licence: str) -> str:
    """Return the metadata as JSON-LD.

    Args:
        recipe: the recipe of the rounds.
        rounds: what the export holds of each round, by number.
        url: the address of the dataset, or the folder.
        licence: the id of its licence.
    """
    ordered = {f"round-{number}": rounds[number] for number in sorted(rounds, key=int)}
    content: Row = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"{recipe.name}-preference-pairs",
        "description": f"Preference pairs of speech-to-speech translations ({', '.join(recipe.used_directions)}).",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "license": licence,
        "url": url,
        "version": f"{max(map(int, rounds))}.0.0",
        "datePublished": datetime.now(UTC).date().isoformat(),
        "citeAs": "PROST-LLM, arXiv:2601.16618",
        "inLanguage": list(recipe.languages),
        "keywords": ["preference pairs", "speech-to-speech translation", "DPO"],
        "distribution": [_describe_repository(url), *(_describe_files(*item) for item in ordered.items())],
        "recordSet": [_describe_records(name) for name, one in ordered.items() if one["format"] == "parquet"],
        **_describe_origin(recipe),
        **_describe_responsibility(ordered),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _describe_repository(url: str) -> Row:
    return {
        "@type": "cr:FileObject",
        "@id": REPOSITORY,
        "name": REPOSITORY,
        "contentUrl": url,
        "encodingFormat": "git+https",
        "sha256": _NO_SHA,
    }


def _describe_files(name: str, exported: ExportedRound) -> Row:
    kinds = {"parquet": ("application/x-parquet", "*.parquet")}
    encoding, files = kinds.get(exported["format"], ("application/octet-stream", "**"))  # several kinds of files
    return {
        "@type": "cr:FileSet",
        "@id": f"files-of-{name}",
        "name": f"files of {name}",
        "containedIn": {"@id": REPOSITORY},
        "encodingFormat": encoding,
        "includes": f"data/{name}/{files}",
    }


def _describe_records(name: str) -> Row:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": list(_describe_fields(name))}


def _describe_fields(name: str) -> Iterator[Row]:
    for column, kind in _COLUMNS.items():
        yield {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "dataType": kind,
            "source": {"fileSet": {"@id": f"files-of-{name}"}, "extract": {"column": column}},
        }


def _describe_origin(recipe: Recipe) -> Row:
    """Return what the pairs derive from: the speech, and the models that translated and judged it."""
    portable = portable_paths(recipe)
    models = {"policy": portable.policy.start or portable.policy.base, "recognizer": portable.recognizer.model}
    used = [f"{role}: {name}" for role, name in models.items() if name]
    return {
        "prov:wasDerivedFrom": [portable.corpus.mono],
        "prov:wasGeneratedBy": [f"Roundtrip, recipe {recipe.name}", *used],
    }


def _describe_responsibility(ordered: Mapping[str, ExportedRound]) -> Row:
    """Return the RAI fields; what the audit says about the labels is in the section of each round."""
    sections = "\n\n".join(one["section"] for one in ordered.values())
    return {
        "rai:dataCollection": "Speech of the named corpora, translated several times and back by a policy over units.",
        "rai:dataAnnotationProtocol": sections,
        "rai:machineAnnotationTools": ["Roundtrip: back-translation and metrics; no human label"],
        "rai:dataBiases": "An error that the policy makes in both directions looks right in the back-translation.",
        "rai:dataLimitations": "A label says which translation survives the round trip better, by one metric.",
        "rai:dataUseCases": "Preference training of speech-to-speech translation models.",
        "rai:personalSensitiveInformation": "Voices of the speakers of the corpora, where recordings are part of it.",
        "rai:dataReleaseMaintenancePlan": "A later round is added next to the earlier ones, which stay as they are.",
    }
