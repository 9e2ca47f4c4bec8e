"""Writes requests for every operation of an OpenAPI document: valid ones, and invalid ones that
differ from a valid one in a single place. Another validator decides which is which: python-jsonschema,
after the schemas were converted to JSON Schema 2020-12 here. Argument: the document. Output: one JSON
object per line, then the counts."""
import copy
import json
import re
import sys
import urllib.parse
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
SAMPLES = {
    "date": "2024-02-29",
    "date-time": "2024-02-29T12:00:00Z",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "email": "a@example.com",
    "uri": "https://example.com/a",
    "url": "https://example.com/a",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "YQ==",
    "time": "12:00:00Z",
}
TEXTS = ["a", "abc", "abcd-1", "A", "1", "12", "123456", "a_b", "abc.example.com", "192.0.2.1/24",
         "1:2", "1.0", "#ffffff", "/a", "en-US", "2024-02-29", "application/json", "a" * 8, "a" * 16,
         "1" * 17, "1" * 18, "1" * 19, "a" * 32, "a" * 36, "a" * 40, "a" * 64, "AB", "usd", "US", "@a",
         "+15550000000", "00:00", "12:30", "sha256:" + "a" * 64, "https://example.com/a", "a/b", "a@b.c"]
# Largest number of invalid bodies of an operation, and of changes that are tried for them.
BODIES, CANDIDATES = 6, 40
DEPTH = 5
FORMATS = FormatChecker(("date", "date-time", "uuid", "ipv4", "ipv6"))


# Target of all references.
DEFS = "urn:defs"
ALL = {"$defs": {}}
REGISTRY = Registry().with_resource(DEFS, DRAFT202012.create_resource(ALL))


class Unable(Exception):
    """No value is generated for this schema."""


class Files:
    """Documents by their files, with references between them."""

    def __init__(self, main):
        self.main = Path(main).resolve()
        self.files = {}

    def load(self, path):
        if path not in self.files:
            text = path.read_text()
            is_json = path.suffix == ".json"
            self.files[path] = json.loads(text) if is_json else yaml.load(text, Loader)
        return self.files[path]

    def at(self, path, reference):
        """File and node of a reference in the file `path`."""
        file, _, pointer = reference.partition("#")
        path = (path.parent / file).resolve() if file else path
        node = self.load(path)
        for part in pointer.split("/")[1:]:
            part = urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")
            node = node[int(part)] if isinstance(node, list) else node[part]
        return path, node, f"{path}#{pointer}"

    def follow(self, path, node):
        for _ in range(20):
            if not (isinstance(node, dict) and isinstance(node.get("$ref"), str)):
                break
            path, node, _ = self.at(path, node["$ref"])
        return path, node


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML 1.2 as OpenAPI uses it: dates and `on` are strings."""


Loader.yaml_implicit_resolvers = {
    first: [one for one in all if one[0] not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
    for first, all in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf")


class Schemas:
    """Schemas as JSON Schema 2020-12, each reference target once under `$defs`."""

    LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
    SINGLE = ("not", "items", "additionalProperties", "contains", "propertyNames", "if", "then", "else")
    MAPS = ("properties", "patternProperties", "dependentSchemas")

    def __init__(self, files, version):
        self.files, self.old = files, version.startswith("3.0")
        self.defs, self.names = ALL["$defs"], {}

    def whole(self, path, schema):
        return self.lower(path, schema)

    def lower(self, path, schema):
        if not isinstance(schema, dict):
            return {"not": {}} if schema is False else {}
        out = {}
        if "$ref" in schema:
            out["$ref"] = f"{DEFS}#/$defs/" + self.name(path, schema["$ref"])
            if self.old:
                return out
        for key, value in schema.items():
            if key in self.LISTS:
                out[key] = [self.lower(path, one) for one in value]
            elif key in self.SINGLE:
                out[key] = self.lower(path, value)
            elif key in self.MAPS:
                out[key] = {name: self.lower(path, one) for name, one in value.items()}
            elif key not in ("$ref", "example", "examples", "default", "description", "$defs"):
                out[key] = value
        if self.old:
            self.old_keywords(out)
        required = out.get("required")
        if isinstance(required, list):
            read_only = {
                name
                for name, one in schema.get("properties", {}).items()
                if isinstance(one, dict) and self.files.follow(path, one)[1].get("readOnly")
            }
            out["required"] = [name for name in required if name not in read_only]
        return out

    def old_keywords(self, out):
        for key, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(out.get(key), bool):
                if out.pop(key) and limit in out:
                    out[key] = out.pop(limit)
        if out.pop("nullable", False) and isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]

    def name(self, path, reference):
        path, node, key = self.files.at(path, reference)
        if key not in self.names:
            self.names[key] = f"d{len(self.names)}"
            self.defs[self.names[key]] = {}
            self.defs[self.names[key]] = self.lower(path, node)
        return self.names[key]


class Values:
    """Values for a schema. `full`: with optional members."""

    def __init__(self, defs, full):
        self.defs, self.full = defs, full

    def of(self, schema, depth=0):
        if depth > DEPTH * 3:
            raise Unable("too deep")
        if "$ref" in schema:
            target = self.defs[schema["$ref"].rsplit("/", 1)[1]]
            rest = {key: one for key, one in schema.items() if key != "$ref"}
            schema = {"allOf": [target, rest]} if rest else target
        if "const" in schema:
            return copy.deepcopy(schema["const"])
        if schema.get("enum"):
            return copy.deepcopy(schema["enum"][0])
        if "allOf" in schema:
            return self.of_all(schema, depth)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.of_one(schema, key, depth)
        kind = schema.get("type")
        kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return getattr(self, kind)(schema, depth)

    def flat(self, schema, seen=()):
        """Schema without references and `allOf` at its top, as far as keywords can be merged."""
        out = {}
        parts = [one for one in schema.get("allOf", [])]
        if "$ref" in schema:
            if schema["$ref"] in seen:
                raise Unable("a circle of references")
            seen = (*seen, schema["$ref"])
            parts.append(self.defs[schema["$ref"].rsplit("/", 1)[1]])
        own = {key: one for key, one in schema.items() if key not in ("allOf", "$ref")}
        for part in [*(self.flat(one, seen) for one in parts), own]:
            for key, value in part.items():
                if key == "properties":
                    both = {**out.get(key, {})}
                    for name, one in value.items():
                        both[name] = {"allOf": [both[name], one]} if name in both else one
                    out[key] = both
                elif key == "required":
                    out[key] = list(dict.fromkeys([*out.get(key, []), *value]))
                else:
                    out[key] = value
        return out

    def of_all(self, schema, depth):
        flat = self.flat(schema)
        return self.of(flat, depth + 1)

    def of_one(self, schema, key, depth):
        rest = {name: one for name, one in schema.items() if name not in (key, "discriminator")}
        for number, one in enumerate(schema[key]):
            try:
                value = self.of(self.flat({"allOf": [one, rest]}), depth + 1)
            except Unable:
                continue
            self.discriminate(schema, number, value)
            whole = {name: one for name, one in schema.items() if name != "discriminator"}
            if is_valid(whole, value):
                return value
        raise Unable(key)

    def discriminate(self, schema, number, value):
        discriminator = schema.get("discriminator") or {}
        name, mapping = discriminator.get("propertyName"), list((discriminator.get("mapping") or {}))
        if name in value if isinstance(value, dict) else False:
            if number < len(mapping):
                value[name] = mapping[number]

    def string(self, schema, depth):
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
        candidates = [SAMPLES[schema["format"]]] if schema.get("format") in SAMPLES else []
        candidates += TEXTS
        candidates += ["a" * least] if least < 1 << 16 else []
        for text in candidates:
            fits = least <= len(text) <= most
            if fits and re.search(pattern(schema), text):
                return text
        if most == 0:
            return ""
        raise Unable("string")

    def integer(self, schema, depth):
        return int(self.number(schema, depth))

    def number(self, schema, depth):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", max(low, 0) + 2) - 1)
        value = 1 if low <= 1 <= high else low
        step = schema.get("multipleOf")
        if step and value % step:
            value = -(-value // step) * step
        return value

    def boolean(self, schema, depth):
        return True

    def null(self, schema, depth):
        return None

    def array(self, schema, depth):
        items = schema.get("items", {"type": "string"})
        count = schema.get("minItems", 0)
        if self.full and depth < DEPTH and schema.get("maxItems", 1) > 0:
            count = max(count, 1)
        if count == 0:
            return []
        if count > 50:
            raise Unable("many items")
        first = self.of(items, depth + 1)
        if count == 1 or not schema.get("uniqueItems"):
            return [copy.deepcopy(first) for _ in range(count)]
        choices = self.flat(items).get("enum", [])
        if len(choices) >= count:
            return choices[:count]
        if isinstance(first, str):
            return [first + str(number) for number in range(count)]
        if isinstance(first, int) and not isinstance(first, bool):
            return [first + number for number in range(count)]
        raise Unable("unique items")

    def object(self, schema, depth):
        members, required = schema.get("properties", {}), schema.get("required", [])
        value = {}
        for name in required:
            value[name] = self.of(members.get(name, {"type": "string"}), depth + 1)
        for name, one in members.items():
            if not self.full or depth >= DEPTH or name in value or len(value) >= 24:
                continue
            if self.flat(one).get("readOnly") if "$ref" in one or "allOf" in one else one.get("readOnly"):
                continue
            try:
                value[name] = self.of(one, depth + 1)
            except Unable:
                continue
        for number in range(len(value), schema.get("minProperties", 0)):
            value[f"more{number}"] = self.of(schema.get("additionalProperties") or {}, depth + 1)
        return value


def pattern(schema):
    text = schema.get("pattern", "")
    text = re.sub(r"\\p\{[^}]*\}", r"\\w", text).replace(r"\z", r"\Z").replace("(?<", "(?P<")
    text = text.replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    try:
        re.compile(text)
    except re.error as error:
        raise Unable("pattern") from error
    return text


def is_valid(schema, value):
    validator = Draft202012Validator(schema, format_checker=FORMATS, registry=REGISTRY)
    return validator.is_valid(value)


def changed(value, path=()):
    """Values that differ from this one in a single place, with a description."""
    if isinstance(value, dict):
        for name in list(value):
            less = {other: one for other, one in value.items() if other != name}
            yield less, f"without {name}"
            for one, what in changed(value[name]):
                yield {**value, name: one}, f"{name}: {what}"
        yield {**value, "not-described": 1}, "another member"
        yield [value], "a list"
    elif isinstance(value, list):
        for number, item in enumerate(value[:2]):
            for one, what in changed(item):
                yield [*value[:number], one, *value[number + 1 :]], f"item {number}: {what}"
        yield [], "no items"
        if len(str(value)) < 200:
            yield [*value, *value[:1]] * 300, "many items"
        yield {"a": value}, "an object"
    else:
        yield [value], "a list"
        yield {"a": 1}, "an object"
        if isinstance(value, str):
            yield 7, "a number"
            yield "not described", "another text"
            yield "", "an empty text"
            yield "a" * 70_000, "a long text"
        elif isinstance(value, bool):
            yield "yes", "a text"
        elif value is not None:
            yield "seven", "a text"
            yield -(10**9), "a small number"
            yield 10**15, "a great number"
            yield value + 0.5, "a fraction"


def text_of(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def is_plain(value):
    return isinstance(value, (str, int, float)) and value != ""


class Operation:
    """Operation of a document, with its parameters and its body."""

    def __init__(self, files, schemas, where, method):
        self.files, self.schemas = files, schemas
        (path, item), self.template, self.method = where[0], where[1], method
        self.path, operation = path, item[method]
        self.parameters = {}
        for one in [*item.get("parameters", []), *operation.get("parameters", [])]:
            at, parameter = files.follow(path, one)
            self.parameters[parameter["in"], parameter["name"]] = (at, parameter)
        self.body = files.follow(path, operation.get("requestBody") or {})

    def requests(self):
        """Requests of the operation: target, fields, body, and what an invalid one changes."""
        given, queries = {}, []
        for (place, name), (at, parameter) in self.parameters.items():
            one = self.parameter(at, parameter)
            if one is None:
                if parameter.get("required"):
                    raise Unable(f"parameter {name}")
            elif parameter.get("required"):
                given[place, name] = one
            elif place == "query":
                queries.append(((place, name), one))
        bodies = list(self.bodies())
        if not bodies:
            raise Unable("body")
        (body_kind, body), *others = bodies
        full = {**given, **dict(queries)}
        yield self.build(given, body_kind, body), None
        yield self.build(full, body_kind, body), None
        for kind, other in others:
            yield self.build(given, kind, other), None
        for key, one in full.items():
            yield from self.wrong_parameter(given, key, one, (body_kind, body))
        yield from self.wrong_bodies(given, bodies)

    def parameter(self, at, parameter):
        """Schema, value and text of a parameter. None: none is generated."""
        schema = parameter.get("schema")
        if schema is None or parameter["in"] == "cookie":
            return None
        whole = self.schemas.whole(at, schema)
        try:
            value = Values(self.schemas.defs, False).of(whole)
        except Unable:
            return None
        if not is_valid(whole, value):
            return None
        if isinstance(value, list) and all(map(is_plain, value)) and value:
            is_form = parameter["in"] == "query" and parameter.get("style", "form") == "form"
            if is_form and parameter.get("explode", True):
                return whole, value
            return None
        return (whole, value) if is_plain(value) or isinstance(value, bool) else None

    def wrong_parameter(self, given, key, one, body):
        place, name = key
        schema, value = one
        if key in given and place != "path":
            less = {other: one for other, one in given.items() if other != key}
            yield self.build(less, *body), f"without {place} {name}"
        if isinstance(value, list):
            return
        for wrong in ["not-described", "seven", "-99999999999"]:
            # The text of a number is also a text.
            readings = [wrong, int(wrong)] if wrong.startswith("-") else [wrong]
            if not any(is_valid(schema, reading) for reading in readings):
                yield self.build({**given, key: (schema, wrong)}, *body), f"{place} {name}: {wrong}"

    def bodies(self):
        at, body = self.body
        content = body.get("content") or {}
        if not content:
            yield None, None
            return
        if not body.get("required"):
            yield None, None
        for media_type, described in content.items():
            if media_type not in ("application/json", "application/x-www-form-urlencoded"):
                continue
            if "schema" not in described:
                continue
            schema = self.schemas.whole(at, described["schema"])
            is_form = media_type != "application/json"
            for full in (False, True):
                try:
                    value = Values(self.schemas.defs, full).of(schema)
                except Unable:
                    continue
                if is_form and isinstance(value, dict):
                    value = {name: one for name, one in value.items() if is_plain(one)}
                if is_valid(schema, value):
                    yield (media_type, schema), value

    def wrong_bodies(self, given, bodies):
        if bodies[0][0] is not None:
            yield self.build(given, None, None), "without the body"
        for kind, value in bodies[::-1]:
            if kind is None or kind[0] != "application/json":
                continue
            candidates, found = list(changed(value)), 0
            for one, what in candidates[:: max(1, len(candidates) // CANDIDATES)]:
                if found < BODIES and not is_valid(kind[1], one):
                    found += 1
                    yield self.build(given, kind, one), f"body {what}"
            return

    def build(self, given, kind, body):
        target, query, fields = self.template, [], {}
        for (place, name), (_, value) in given.items():
            if place == "path":
                target = target.replace("{%s}" % name, urllib.parse.quote(text_of(value), safe=""))
            elif place == "query":
                values = value if isinstance(value, list) else [value]
                query += [(name, text_of(one)) for one in values]
            else:
                fields[name.lower()] = text_of(value)
        if query:
            target += "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        text = ""
        if kind is not None:
            fields["content-type"] = kind[0]
            is_form = kind[0] != "application/json"
            form = {name: text_of(one) for name, one in body.items()} if is_form else {}
            text = urllib.parse.urlencode(form) if is_form else json.dumps(body)
        method = self.method.upper()
        return {"method": method, "target": target, "fields": fields, "body": text}


def main():
    files = Files(sys.argv[1])
    document = files.load(files.main)
    schemas = Schemas(files, str(document["openapi"]))
    counts = {"operations": 0, "unable": []}
    for template, item in document["paths"].items():
        at = files.follow(files.main, item)
        for method in METHODS:
            if method not in at[1]:
                continue
            path, one = files.follow(at[0], at[1][method])
            where = (path, {**at[1], method: one})
            counts["operations"] += 1
            try:
                operation = Operation(files, schemas, (where, template), method)
                for request, wrong in operation.requests():
                    print(json.dumps({**request, "operation": f"{method} {template}", "wrong": wrong}))
            except Unable as why:
                counts["unable"].append(f"{method} {template}: {why}")
    print(json.dumps(counts))


main()
