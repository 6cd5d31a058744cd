"""The manifests of deploy/kubernetes as kustomize renders them, and the published schemas.

Nothing is asked of a cluster: the schemas of Kubernetes come with a package, those of the operator
of Prometheus are made from its own Go types by the program that makes the published ones.
"""

import functools
import json
import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
# What is deployed must be valid for these releases: the oldest that README.md names, and the newest
# whose schemas are there.
RELEASES = ("1.30", kubernetes_validate.latest_version())
# The one in C is ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPERATOR = "monitoring.coreos.com/v1"
# What lies in the folders beside manifests, and is not for kustomize to render.
APART = {"kustomization.yaml", "secrets.example.yaml"}


class Broken(Exception):
    """The manifests cannot be rendered or read."""


class Manifests:
    """What a copy of deploy/kubernetes deploys."""

    def __init__(self, folder, kustomize):
        self.folder = folder
        self.objects = []
        for part in (folder, folder / "monitoring"):
            self.objects += rendered(part, kustomize)
        self.secrets = documents(folder / "secrets.example.yaml")
        try:
            self.settings = tomllib.loads((folder / "gatemeter.toml").read_text())
        except tomllib.TOMLDecodeError as error:
            raise Broken(f"gatemeter.toml: {error}") from error

    def of_kind(self, kind):
        return [thing for thing in self.objects if thing["kind"] == kind]

    def pods(self):
        """Each Deployment with the labels and the spec of its pods."""
        for deployment in self.of_kind("Deployment"):
            template = deployment["spec"]["template"]
            yield deployment, template["metadata"].get("labels", {}), template["spec"]

    def selected(self, selector):
        """The Deployments whose pods have these labels; an empty selector has none."""
        return [
            deployment
            for deployment, labels, _ in self.pods()
            if selector and selector.items() <= labels.items()
        ]

    def setting(self, path):
        """A setting of gatemeter.toml, or None."""
        section, key = path.split(".")
        return self.settings.get(section, {}).get(key)


def parsed(text):
    """Every document of a YAML text."""
    return [thing for thing in yaml.load_all(text, LOADER) if thing is not None]


def documents(path):
    """Every document of a YAML file."""
    try:
        return parsed(path.read_text())
    except yaml.YAMLError as error:
        raise Broken(f"{path.name}: {error}") from error


def rendered(folder, kustomize):
    """What `kubectl apply -k` would send. A field that is there twice is refused, as is a file that
    is not there."""
    done = subprocess.run(
        [kustomize, "build", folder], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise Broken(f"kustomize: {done.stderr.strip()}")
    return parsed(done.stdout)


def shown(thing):
    """Kind and name of an object."""
    return f"{thing.get('kind')} {thing.get('metadata', {}).get('name')}"


def schema_faults(thing, operator_schemas):
    """What the published schemas say against an object."""
    text = json.dumps(thing, sort_keys=True)
    if thing.get("apiVersion") != OPERATOR:
        return [fault for release in RELEASES for fault in kubernetes_faults(text, release)]
    schema = operator_schemas.get(thing["kind"])
    if schema is None:
        return [f"{shown(thing)}: the operator has no such kind"]
    faults = jsonschema.Draft202012Validator(schema).iter_errors(thing)
    return [f"{shown(thing)}: {place(fault)}: {fault.message}" for fault in faults]


@functools.cache
def kubernetes_faults(text, release):
    """The first thing in an object that a release refuses, unknown fields too."""
    thing = json.loads(text)
    try:
        kubernetes_validate.validate(thing, release, strict=True)
    except kubernetes_validate.ValidationError as fault:
        return [f"{shown(thing)}: Kubernetes {release}: {place(fault)}: {fault.message}"]
    except kubernetes_validate.SchemaNotFoundError as fault:
        return [f"{shown(thing)}: {fault.message}"]
    return []


def place(fault):
    return ".".join(str(step) for step in fault.absolute_path) or "the object"


def operator_schemas(folder):
    """The schemas of the operator's kinds, by kind, from the definitions in a folder."""
    schemas = {}
    for path in folder.glob("*.yaml"):
        [definition] = documents(path)
        [version] = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
        schemas[definition["spec"]["names"]["kind"]] = closed(version["schema"]["openAPIV3Schema"])
    return schemas


def closed(schema):
    """The same schema, by which a field that it does not name is wrong, as the server has it."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    more = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            more.setdefault("additionalProperties", False)
    return more


def default_settings():
    """Every setting there is, as section.key."""
    text = (ROOT / "crates/service/config/default.toml").read_text()
    return {f"{section}.{key}" for section, keys in tomllib.loads(text).items() for key in keys}


def served_paths():
    """The paths that every role answers, as the sources have them."""
    sources = [ROOT / "crates/service/src" / name for name in ("health.rs", "metrics.rs")]
    text = "".join(source.read_text() for source in sources)
    return set(re.findall(r'get, path = "(/\w+)"', text))


def image():
    """The user and the data folder of the image."""
    text = (ROOT / "Dockerfile").read_text()
    uid = int(re.search(r"useradd .*--uid (\d+)", text)[1])
    return uid, re.search(r"^ENV GATEMETER_DATA__DIR=(\S+)$", text, re.M)[1]
