"""Reads OpenMetrics texts with the parser of the Python client of Prometheus (PyPI prometheus-client).
Prints a line when it is ready. Input: one text in each line, as a JSON string. Output: its samples, each
with family, kind, name, labels, value and exemplar, or the error of the parser."""
import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    try:
        samples = [
            {
                "family": family.name,
                "kind": family.type,
                "name": sample.name,
                "labels": sample.labels,
                "value": sample.value,
                "exemplar": sample.exemplar
                and {"labels": sample.exemplar.labels, "value": sample.exemplar.value, "time": float(sample.exemplar.timestamp)},
            }
            for family in text_string_to_metric_families(json.loads(line))
            for sample in family.samples
        ]
        print(json.dumps(samples), flush=True)
    except ValueError as error:
        print(json.dumps({"error": str(error)}), flush=True)
