// Writes query parameters in the styles that are no URI templates, serialized by another
// implementation, the package openapi-fetch. Writes a document with an operation for each value into the
// file of its argument. Output: requests with this value, and with another one, as in traffic.py.
import { writeFileSync } from 'node:fs';
import { createQuerySerializer } from 'openapi-fetch';

const LISTS = [['blue', 'black', 'brown'], ['x=y', '&', '50%'], ['é☃', '(a)'], ['a b', 'c,d'], ['one']];
const OBJECTS = [
  { R: '100', G: '200', B: '150' },
  { R: 'a b', G: 'c,d' },
  { R: 'x=y', G: 'é&' },
  { R: '1', G: '[2]' },
];
// Style, values, options of the serializer.
const STYLES = [
  ['spaceDelimited', LISTS, { array: { style: 'spaceDelimited', explode: false } }],
  ['pipeDelimited', LISTS, { array: { style: 'pipeDelimited', explode: false } }],
  ['deepObject', OBJECTS, { object: { style: 'deepObject', explode: true } }],
];

function schemaOf(value) {
  const type = { type: 'string' };
  if (Array.isArray(value)) return { type: 'array', items: type, const: value };
  const properties = Object.fromEntries(Object.keys(value).map((name) => [name, type]));
  return { type: 'object', properties, const: value };
}

function other(value) {
  if (Array.isArray(value)) return [...value.slice(0, -1), `${value.at(-1)}x`];
  return { ...value, G: `${value.G}x` };
}

const paths = {};
const requests = [];
for (const [style, values, options] of STYLES) {
  const serialize = createQuerySerializer(options);
  for (const value of values) {
    // The separator is also a character of a value: no reader can restore the list.
    if (style === 'spaceDelimited' && value.some((text) => text.includes(' '))) continue;
    const path = `/o${Object.keys(paths).length}`;
    const parameter = { name: 'color', in: 'query', required: true, style, schema: schemaOf(value) };
    parameter.explode = style === 'deepObject';
    paths[path] = { get: { parameters: [parameter], responses: { 200: { description: 'ok' } } } };
    for (const [one, wrong] of [[value, null], [other(value), `${style} ${JSON.stringify(value)}`]]) {
      const target = `${path}?${serialize({ color: one })}`;
      requests.push({ method: 'GET', target, fields: {}, body: '', operation: `get ${path}`, wrong });
    }
  }
}
const info = { title: 'styles', version: '1' };
writeFileSync(process.argv.at(-1), JSON.stringify({ openapi: '3.1.0', info, paths }));
for (const request of requests) console.log(JSON.stringify(request));
console.log(JSON.stringify({ operations: Object.keys(paths).length, unable: [] }));
