"""A web application firewall behind ext_proc: libmodsecurity (PyPI) with the OWASP Core Rule Set
(Debian modsecurity-crs), over grpcio with the classes that Envoy's .proto files define. Refuses what
the rules block, with the status of the rule and its number in the field x-rule. Prints its port as JSON.
Arguments: the folder in which tests/peers/install puts both packages, and the port, or 0 for any."""
import json
import re
import sys
from concurrent import futures
from pathlib import Path
from urllib.parse import unquote

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as protocol
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service
from envoy.type.v3 import http_status_pb2

sys.path.append(sys.argv[1])
from libmodsecurity import ModSecurity, RulesSet

BASE = """
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecDefaultAction "phase:1,log,pass"
SecDefaultAction "phase:2,log,pass"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:900200,phase:1,nolog,pass,t:none,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH DELETE'"
"""


def rules_of(package):
    """Rules for requests of the package's folder, in the order of their names."""
    rules = RulesSet()
    rules.load(BASE)
    setup = Path(package, "etc/modsecurity/crs/crs-setup.conf")
    folder = Path(package, "usr/share/modsecurity-crs/rules")
    for file in [setup, *sorted(folder.glob("REQUEST-9*.conf"))]:
        rules.load_from_uri(str(file))
    return rules


def refusal(found):
    number = re.search(r'\[id "(\d+)"\]', found.log or "")
    rule = base_pb2.HeaderValue(key="x-rule", raw_value=(number[1] if number else "0").encode())
    option = base_pb2.HeaderValueOption(header=rule)
    return protocol.ProcessingResponse(
        immediate_response=protocol.ImmediateResponse(
            status=http_status_pb2.HttpStatus(code=found.status),
            headers=protocol.HeaderMutation(set_headers=[option]),
            body=b"refused by a rule",
        )
    )


class Firewall(service.ExternalProcessorServicer):
    def __init__(self, rules):
        self.engine = ModSecurity()
        self.rules = rules

    def Process(self, requests, _context):
        with self.engine.transaction(self.rules) as transaction:
            for request in requests:
                yield self.answer(transaction, request)

    def answer(self, transaction, request):
        part = request.WhichOneof("request")
        if part == "request_headers":
            head(transaction, request.request_headers.headers.headers)
            found = transaction.intervention()
            if not found and request.request_headers.end_of_stream:
                found = whole(transaction, b"")
            done = protocol.ProcessingResponse(request_headers=protocol.HeadersResponse())
        elif part == "request_body":
            found = whole(transaction, request.request_body.body)
            done = protocol.ProcessingResponse(request_body=protocol.BodyResponse())
        else:
            found, done = None, protocol.ProcessingResponse(response_headers=protocol.HeadersResponse())
        return refusal(found) if found else done


def head(transaction, fields):
    fields = [(field.key, field.raw_value.decode("latin-1")) for field in fields]
    pseudo = dict(fields)
    transaction.process_connection("127.0.0.1", 40000, "127.0.0.1", 80)
    transaction.process_uri(pseudo[":path"], pseudo[":method"], "1.1")
    for name, value in [("host", pseudo[":authority"]), *fields]:
        if not name.startswith(":"):
            transaction.add_request_header(name, value)
    transaction.process_request_headers()


def whole(transaction, body):
    if body:
        transaction.append_request_body(body)
    transaction.process_request_body()
    return transaction.intervention()


server = grpc.server(futures.ThreadPoolExecutor(16))
service.add_ExternalProcessorServicer_to_server(Firewall(rules_of(sys.argv[1])), server)
port = server.add_insecure_port("127.0.0.1:" + sys.argv[2])
server.start()
print(json.dumps({"port": port}), flush=True)
for _line in sys.stdin:
    print(json.dumps({}), flush=True)
