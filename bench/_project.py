"""Generator of a project with many OpenAPI documents that use the features of real ones. The bytes are the same on every machine."""
import os

# An API has resources; a resource has five paths with ten operations and three schemas of its own.
PER_RESOURCE = 10

HEAD = """openapi: {version}
info:
  title: Service {api}
  version: 1.{api}.0
  description: What service {api} keeps, and who may change it.
servers:
  - url: https://api.example.com{server}
tags:
{tags}security:
  - key: []
x-gateway:
  owner: team-{team}
paths:
"""

LIST = """  /{r}:
    get:
      operationId: list{R}
      tags: [{r}]
      summary: List {r}
      parameters:
        - $ref: '#/components/parameters/limit'
        - $ref: '#/components/parameters/cursor'
        - name: status
          in: query
          description: Only {r} in this state.
          schema: {{type: string, enum: [open, held, closed]}}
      responses:
        '200':
          description: A page of {r}
          content:
            application/json:
              schema: {{$ref: '#/components/schemas/{R}Page'}}
        '400': {{$ref: '#/components/responses/Problem'}}
    post:
      operationId: create{R}
      tags: [{r}]
      summary: Create one of {r}
      requestBody: {{$ref: '#/components/requestBodies/{R}'}}
      responses:
        '201':
          description: Created
          headers:
            Location: {{schema: {{type: string, format: uri-reference}}}}
          content:
            application/json:
              schema: {{$ref: '#/components/schemas/{R}'}}
        '409': {{$ref: '#/components/responses/Problem'}}
{extension}  /{r}/{{id}}:
    parameters:
      - $ref: '#/components/parameters/id'
    get:
      operationId: get{R}
      tags: [{r}]
      summary: Read one of {r}
      responses:
        '200': {{$ref: '#/components/responses/{R}'}}
        '404': {{$ref: '#/components/responses/Problem'}}
    put:
      operationId: replace{R}
      tags: [{r}]
      requestBody: {{$ref: '#/components/requestBodies/{R}'}}
      responses:
        '200': {{$ref: '#/components/responses/{R}'}}
        '412': {{$ref: '#/components/responses/Problem'}}
    patch:
      operationId: change{R}
      tags: [{r}]
      requestBody:
        content:
          application/merge-patch+json:
            schema: {{type: object, additionalProperties: true}}
      responses:
        '200': {{$ref: '#/components/responses/{R}'}}
    delete:
      operationId: delete{R}
      tags: [{r}]
      security:
        - key: []
        - oauth: ['{r}:write']
      responses:
        '204':
          description: Gone
  /{r}/{{id}}/events:
    get:
      operationId: list{R}Events
      tags: [{r}]
      parameters:
        - $ref: '#/components/parameters/id'
        - $ref: '#/components/parameters/limit'
        - name: since
          in: query
          schema: {{type: string, format: date-time}}
          example: '2026-01-31T00:00:00Z'
      responses:
        '200':
          description: What happened
          content:
            application/json:
              schema:
                type: array
                items: {{$ref: '#/components/schemas/{R}Event'}}
  /{r}/{{id}}/events/{{event}}:
    get:
      operationId: get{R}Event
      tags: [{r}]
      parameters:
        - $ref: '#/components/parameters/id'
        - {{name: event, in: path, required: true, schema: {{type: integer, minimum: 1}}}}
      responses:
        '200':
          description: One event
          content:
            application/json:
              schema: {{$ref: '#/components/schemas/{R}Event'}}
  /{r}/{{id}}/archive:
    parameters:
      - $ref: '#/components/parameters/id'
    post:
      operationId: archive{R}
      tags: [{r}]
      deprecated: true
      responses:
        '202': {{description: Accepted}}
    delete:
      operationId: restore{R}
      tags: [{r}]
      responses:
        '202': {{description: Accepted}}
"""

COMPONENTS = """components:
  securitySchemes:
    key:
      type: apiKey
      in: header
      name: X-Key
      x-gateway: {auth: keys}
    oauth:
      type: oauth2
      flows:
        clientCredentials:
          tokenUrl: https://id.example.com/token
          scopes:
SCOPES      x-gateway: {verify: upstream}
  parameters:
    id: {name: id, in: path, required: true, schema: {type: string, pattern: '^[a-z0-9]{8,32}$'}}
    limit: {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 20}}
    cursor: {name: cursor, in: query, schema: {type: string, maxLength: 200}}
  responses:
    Problem:
      description: What went wrong
      content:
        application/problem+json:
          schema: {$ref: '#/components/schemas/Problem'}
"""

RESPONSE = """    {R}:
      description: One of {r}
      content:
        application/json:
          schema: {{$ref: '#/components/schemas/{R}'}}
"""

BODY = """    {R}:
      required: true
      content:
        application/json:
          schema: {{$ref: '#/components/schemas/{R}'}}
          example: {{name: first, status: open, amount: 12.5}}
"""

SCHEMAS = """    {R}:
      type: object
      required: [name, status]
      properties:
        id: {{type: string, readOnly: true}}
        name: {{type: string, minLength: 1, maxLength: 80}}
        status: {{type: string, enum: [open, held, closed], default: open}}
        amount: {{type: number, minimum: 0, example: 12.5}}
        labels:
          type: object
          additionalProperties: {{type: string}}
        parent: {{$ref: '#/components/schemas/{P}'}}
    {R}Page:
      type: object
      required: [items]
      properties:
        items:
          type: array
          items: {{$ref: '#/components/schemas/{R}'}}
        next: {{type: string}}
    {R}Event:
      allOf:
        - $ref: '#/components/schemas/Event'
        - type: object
          properties:
            subject: {{$ref: '#/components/schemas/{R}'}}
"""

SHARED = """    Problem:
      type: object
      properties:
        type: {type: string, format: uri-reference}
        title: {type: string}
        status: {type: integer, minimum: 100, maximum: 599}
        detail: {type: string}
    Event:
      type: object
      required: [at, kind]
      properties:
        at: {type: string, format: date-time}
        kind: {type: string}
        actor: {type: string}
"""

GATEWAY = """version: 1
name: generated
apis:
{apis}auth: {{keys: {{kind: api_key}}}}
upstreams: {{u: {{targets: {{a: {{url: "http://127.0.0.1:9000"}}}}}}}}
policies:
  limit: {{kind: rate_limit, limit: 1000/s}}
defaults: {{upstream: u, policies: [limit], timeout: 10s}}
release: {{store: releases, channel: prod}}
"""

def document(api, operations, server, title=None):
    """Returns the document of an API with `operations` operations (a multiple of ten)."""
    names = [f"res{api}x{index}" for index in range(operations // PER_RESOURCE)]
    shown = lambda name: name[0].upper() + name[1:]
    out = [HEAD.format(version="3.0.3" if api % 2 else "3.1.0", api=api, team=api % 7, server=server,
                       tags="".join(f"  - name: {name}\n" for name in names))]
    for index, name in enumerate(names):
        extension = "      x-gateway: {timeout: 2s, max_body: 1MiB}\n" if index % 5 == 0 else ""
        out.append(LIST.format(r=name, R=shown(name), extension=extension))
    out.append(COMPONENTS.replace("SCOPES", "".join(f"            '{name}:write': change {name}\n" for name in names)))
    out.extend(RESPONSE.format(r=name, R=shown(name)) for name in names)
    out.append("  requestBodies:\n")
    out.extend(BODY.format(R=shown(name)) for name in names)
    out.append("  schemas:\n" + SHARED)
    out.extend(SCHEMAS.format(R=shown(name), P=shown(names[index // 2])) for index, name in enumerate(names))
    text = "".join(out)
    return text if title is None else text.replace(f"title: Service {api}\n", f"title: {title}\n")

def write(folder, files=200, operations=500, one_host=False):
    """Writes a project of `files` APIs of `operations` operations each. Each API has a host of its
    own, or all have one host and different base paths. Returns the size of the documents in bytes."""
    total, apis = 0, []
    os.makedirs(os.path.join(folder, "apis"), exist_ok=True)
    for api in range(files):
        base = f"/svc{api}"
        text = document(api, operations, base)
        total += len(text)
        with open(os.path.join(folder, "apis", f"a{api:03}.yaml"), "w") as file: file.write(text)
        hosts = "api.example.com" if one_host else f"a{api}.example.com"
        apis.append(f"  a{api:03}: {{path: apis/a{api:03}.yaml, mount: {{hosts: [{hosts}], base_path: {base}}}}}\n")
    with open(os.path.join(folder, "gateway.yaml"), "w") as file: file.write(GATEWAY.format(apis="".join(apis)))
    return total
