"""An external processor of another make: grpcio with the classes that Envoy's .proto files define
(PyPI xds-protos). The field x-test of a request chooses its behaviour. Prints its port as JSON. Answers
each line of its input with the messages that arrived since the last line, one list per stream, once all
streams have ended.
Argument: the port, or 0 for any."""
import json
import sys
import threading
import time
from concurrent import futures

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as protocol
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service
from envoy.type.v3 import http_status_pb2

Option = base_pb2.HeaderValueOption
streams = []
lock = threading.Lock()


def option(name, value, action=Option.OVERWRITE_IF_EXISTS_OR_ADD, **more):
    header = base_pb2.HeaderValue(key=name, raw_value=value.encode())
    return Option(header=header, append_action=action, **more)


def immediate(code, body, options=()):
    return protocol.ProcessingResponse(
        immediate_response=protocol.ImmediateResponse(
            status=http_status_pb2.HttpStatus(code=code),
            headers=protocol.HeaderMutation(set_headers=options),
            body=body,
        )
    )


def common(part, **fields):
    response = protocol.CommonResponse(**fields)
    if part.endswith("_body"):
        return protocol.ProcessingResponse(**{part: protocol.BodyResponse(response=response)})
    return protocol.ProcessingResponse(**{part: protocol.HeadersResponse(response=response)})


MUTATION = protocol.HeaderMutation(
    set_headers=[
        option("x-score", "7"),
        Option(
            header=base_pb2.HeaderValue(key="x-list", raw_value=b"two"), append={"value": True}
        ),
        option("x-present", "new", Option.ADD_IF_ABSENT),
        option("x-absent", "new", Option.OVERWRITE_IF_EXISTS),
        option(":path", "/other"),
        option("host", "other.test"),
        option("x-user", "mallory"),
        option("x_user", "mallory"),
        option("x-forwarded-for", "192.0.2.9"),
        option("content-length", "1"),
        option("transfer-encoding", "chunked"),
    ],
    remove_headers=["x-secret", "x-forwarded-proto"],
)


def to_request_headers(test):
    if test == "mutate":
        return common("request_headers", header_mutation=MUTATION)
    if test == "deny":
        options = [option("x-rule", "942100"), option("content-length", "99")]
        return immediate(403, b"denied", options)
    if test == "login":
        return immediate(302, b"", [option("location", "/login")])
    if test == "reset":
        return immediate(205, b"content")
    if test == "replace":
        return common(
            "request_headers",
            status=protocol.CommonResponse.CONTINUE_AND_REPLACE,
            body_mutation=protocol.BodyMutation(body=b"replaced"),
        )
    if test == "wrong":
        return common("request_body")
    if test == "invalid":
        return common(
            "request_headers",
            header_mutation=protocol.HeaderMutation(set_headers=[option("x a", "1")]),
        )
    return common("request_headers")


def to_request_body(body):
    if b"attack" in body:
        return immediate(422, b"attack")
    if b"shout" in body:
        return common("request_body", body_mutation=protocol.BodyMutation(body=body.upper()))
    if b"clear" in body:
        return common("request_body", body_mutation=protocol.BodyMutation(clear_body=True))
    return common("request_body")


def to_response_headers(test, parts):
    if test == "hide":
        return immediate(502, b"hidden", [option("x-rule", "950100")])
    if test == "rewrite":
        return common(
            "response_headers",
            status=protocol.CommonResponse.CONTINUE_AND_REPLACE,
            body_mutation=protocol.BodyMutation(body=b"rewritten"),
        )
    mutation = protocol.HeaderMutation(
        set_headers=[option("x-inspected", ",".join(parts)), option("x-request-id", "forged")],
        remove_headers=["x-powered-by"],
    )
    return common("response_headers", header_mutation=mutation)


def to_response_body(test, body):
    """Answer to the body of a response. Bodies of tests are chosen by the upstream."""
    if test == "inspect-more":
        return common("response_headers")
    if b"leak" in body:
        return immediate(502, b"leak", [option("x-rule", "950100")])
    mutation = protocol.HeaderMutation(
        set_headers=[option("x-length", str(len(body))), option("content-length", "1")]
    )
    if b"mask" in body:
        return common(
            "response_body",
            header_mutation=mutation,
            body_mutation=protocol.BodyMutation(body=body.replace(b"mask", b"*" * 4000)),
        )
    if b"clear" in body:
        return common(
            "response_body", body_mutation=protocol.BodyMutation(clear_body=True)
        )
    return common("response_body", header_mutation=mutation)


class Processor(service.ExternalProcessorServicer):
    def Process(self, requests, context):
        parts = []
        with lock:
            streams.append(parts)
        try:
            yield from self.answers(requests, context, parts)
        finally:
            parts.append("end")

    def answers(self, requests, context, parts):
        test = ""
        for request in requests:
            part = request.WhichOneof("request")
            parts.append(part)
            if part == "request_headers":
                sent = request.request_headers.headers.headers
                fields = {field.key: field.raw_value.decode("latin-1") for field in sent}
                parts[-1] = {
                    "fields": fields,
                    "end": request.request_headers.end_of_stream,
                    "mode": request.protocol_config.request_body_mode,
                    "response_mode": request.protocol_config.response_body_mode,
                }
                test = fields.get("x-test", "")
                if test == "close":
                    return
                if test == "fail":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
                if test == "hang":
                    time.sleep(1)
                yield to_request_headers(test)
            elif part == "request_body":
                yield to_request_body(request.request_body.body)
            elif part == "response_body":
                if test == "hang-later":
                    time.sleep(1)
                if test == "fail-last":
                    context.abort(grpc.StatusCode.INTERNAL, "no")
                if test == "close-last":
                    return
                yield to_response_body(test, request.response_body.body)
            else:
                if test == "fail-later":
                    context.abort(grpc.StatusCode.INTERNAL, "no")
                yield to_response_headers(test, [str(len(parts)), part])


server = grpc.server(futures.ThreadPoolExecutor(32))
service.add_ExternalProcessorServicer_to_server(Processor(), server)
port = server.add_insecure_port("127.0.0.1:" + (sys.argv[1] if len(sys.argv) > 1 else "0"))
server.start()
print(json.dumps({"port": port}), flush=True)
for _line in sys.stdin:
    for _ in range(200):
        if all("end" in parts for parts in streams):
            break
        time.sleep(0.01)
    with lock:
        print(json.dumps({"streams": streams}), flush=True)
        streams = []
