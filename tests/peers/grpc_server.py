"""A gRPC server of another make, with health and reflection; prints its port. Arguments: none, or a
certificate and its key for TLS."""
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

SERVICE = "interop.Test"
cancelled = threading.Semaphore(0)


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", sent.get("x-sent", "-")),))
    context.set_trailing_metadata((("x-trailing", "t"), ("x-trailing-bin", b"\x00\xff")))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def bidi(requests, context):
    for request in requests:
        yield request


def empty(request, context):
    return
    yield


def fail(request, context):
    context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x04none"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä %")


def abort_mid(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "broken off")


def remaining(request, context):
    left = context.time_remaining()
    return b"none" if left is None or left > 1e9 else b"%d" % (left * 1000)


def wait(request, context):
    over = threading.Event()

    # A call that is cancelled while this generator is suspended is never resumed: the end is counted
    # where it is told.
    def ends():
        cancelled.release()
        over.set()

    context.add_callback(ends)
    yield b"waiting"
    over.wait(20)


def was_cancelled(request, context):
    return b"yes" if cancelled.acquire(timeout=10) else b"no"


def slow(request, context):
    time.sleep(3)
    return b"late"


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Empty": grpc.unary_stream_rpc_method_handler(empty),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "AbortMid": grpc.unary_stream_rpc_method_handler(abort_mid),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, HANDLERS),))
checks = health.HealthServicer()
checks.set("", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
if len(sys.argv) == 3:
    cert, key = (open(path, "rb").read() for path in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
