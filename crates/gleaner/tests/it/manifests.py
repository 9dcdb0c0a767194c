"""Reads deployment files as those read them who act on them, and prints JSON.

manifests.py yaml FILE               a YAML file, its anchors followed
manifests.py lint CHART              what Helm's linter says: a list of {severity, path, error}
manifests.py render CHART [VALUES]   what Helm would send: a list of documents
"""

import json
import sys

import yaml


def render(chart, values):
    import helm_python as helm

    with helm.Chart.load(chart) as loaded:
        files = loaded.render(values, name="demo", namespace="prod")
    texts = (text for name, text in sorted(files.items()) if name.endswith(".yaml"))
    documents = (document for text in texts for document in yaml.safe_load_all(text))
    return [document for document in documents if document is not None]


def lint(chart):
    import helm_python as helm

    return helm.lint(chart)["messages"]


def read(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def main(what, path, values=None):
    if what == "yaml":
        return read(path)
    if what == "lint":
        return lint(path)
    return render(path, read(values) if values else {})


json.dump(main(*sys.argv[1:]), sys.stdout)
