"""Writes parameters in every style that OpenAPI takes from URI templates (RFC 6570), expanded by
another implementation, the package uritemplate. Writes a document with an operation for each value into
the file of its argument. Output: requests with this value, and with another one, as in traffic.py."""
import json
import sys
from urllib.parse import quote

from uritemplate import expand

TEXTS = ["blue", "a b", "x/y", "50%", "a,b", "a;b", "a=b", "a&b", "é☃", "~-_", "a+b", "(a)", "1"]
LISTS = [["blue", "black", "brown"], ["a b", "c,d"], ["x=y", "&"], ["é", "50%"], ["one"]]
OBJECTS = [{"R": "100", "G": "200", "B": "150"}, {"R": "a b", "G": "c,d"}, {"R": "x=y", "G": "é&"}]
# Style, explode, template of the path, query, field or cookie.
STYLES = [
    ("path", "simple", False, "{color}"),
    ("path", "simple", True, "{color*}"),
    ("path", "label", False, "{.color}"),
    ("path", "label", True, "{.color*}"),
    ("path", "matrix", False, "{;color}"),
    ("path", "matrix", True, "{;color*}"),
    ("query", "form", False, "{?color}"),
    ("query", "form", True, "{?color*}"),
    ("header", "simple", False, "{color}"),
    ("header", "simple", True, "{color*}"),
    ("cookie", "form", False, "{?color}"),
]


def schema_of(value):
    if isinstance(value, str):
        return {"type": "string", "const": value}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}, "const": value}
    members = {name: {"type": "string"} for name in value}
    return {"type": "object", "properties": members, "const": value}


def other(value):
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value[:-1], value[-1] + "x"]
    return {**value, "R": value["R"] + "x"}


def is_readable(place, style, explode, value):
    """False for expansions that gwd refuses, and for ambiguous ones, whose value no reader can restore:
    the separator of an exploded label is a character that RFC 6570 leaves as it is."""
    if place == "path" and "/" in value:
        return False  # gwd refuses an encoded slash: servers read it as two segments
    if style == "matrix" and explode and isinstance(value, dict):
        return False  # the path has no name of the parameter, so that no template matches it
    texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    if place in ("header", "cookie"):
        # Fields are not encoded as URIs are: only values that need no encoding are the same in both.
        return all(quote(text, safe="") == text for text in texts or [value])
    return not (style == "label" and explode and any("." in text for text in texts))


def main():
    paths, requests = {}, []
    for place, style, explode, template in STYLES:
        for value in [*TEXTS, *LISTS, *OBJECTS]:
            if not is_readable(place, style, explode, value):
                continue
            base = f"/o{len(paths)}"
            name = "X-Color" if place == "header" else "color"
            parameter = {"name": name, "in": place, "required": True, "style": style}
            parameter |= {"explode": explode, "schema": schema_of(value)}
            path = f"{base}/{{color}}" if place == "path" else base
            responses = {"200": {"description": "ok"}}
            paths[path] = {"get": {"parameters": [parameter], "responses": responses}}
            for one, wrong in ((value, None), (other(value), "another value")):
                expanded = expand(template, color=one)
                target, fields = base, {}
                if place == "path":
                    target = f"{base}/{expanded}"
                elif place == "query":
                    target = base + expanded
                elif place == "header":
                    fields = {name: expanded}
                else:
                    fields = {"cookie": expanded.removeprefix("?")}
                request = {"method": "GET", "target": target, "fields": fields, "body": ""}
                what = wrong and f"{style} explode={explode} {value}"
                requests.append({**request, "operation": f"get {path}", "wrong": what})
    info = {"title": "styles", "version": "1"}
    document = {"openapi": "3.1.0", "info": info, "paths": paths}
    with open(sys.argv[1], "w") as file:
        json.dump(document, file)
    for request in requests:
        print(json.dumps(request))
    print(json.dumps({"operations": len(paths), "unable": []}))


main()
