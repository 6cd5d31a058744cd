"""Checks the manifests of deploy/kubernetes, and that mistakes planted in a copy are found.

usage: test.py KUSTOMIZE FOLDER, a program and the folder of the operator's definitions
"""

import shutil
import sys
import tempfile
from pathlib import Path

import checks
from manifests import ROOT, Broken, Manifests, operator_schemas, schema_faults
from planted import MISTAKES, planted

FOLDER = ROOT / "deploy/kubernetes"


def faults(folder, kustomize, schemas):
    """Everything that is wrong with the manifests in a folder."""
    try:
        made = Manifests(folder, kustomize)
    except Broken as error:
        return [str(error)]
    found = [f for thing in [*made.objects, *made.secrets] for f in schema_faults(thing, schemas)]
    # The other checks count on what the schemas require.
    return found or [fault for check in checks.ALL for fault in check(made)]


def unnoticed(mistake, kustomize, schemas):
    """What is wrong with the checks: nothing, if they find this mistake."""
    file, old, new, wanted = mistake
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / "kubernetes"
        shutil.copytree(FOLDER, copy)
        text = (copy / file).read_text()
        try:
            (copy / file).write_text(planted(text, old, new))
        except ValueError as error:
            return [f"{file}: {error}"]
        found = faults(copy, kustomize, schemas)
    if any(wanted in fault for fault in found):
        return []
    return [f"{file}: {old!r} as {new!r}: wanted {wanted!r}, found {found or 'nothing'}"]


def main(kustomize, definitions):
    schemas = operator_schemas(Path(definitions))
    wrong = faults(FOLDER, kustomize, schemas)
    # Against manifests that are wrong already, a mistake proves nothing.
    if not wrong:
        wrong = [fault for mistake in MISTAKES for fault in unnoticed(mistake, kustomize, schemas)]
    for fault in wrong:
        print(fault, file=sys.stderr)
    if not wrong:
        print(f"{len(checks.ALL)} checks hold, {len(MISTAKES)} planted mistakes were found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
