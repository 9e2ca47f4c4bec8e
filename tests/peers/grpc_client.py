"""A gRPC client of another make: talks to grpc_server.py behind the gateway and says `fine`.
Arguments: the gateway's address, and for TLS the authority and the name of its certificate."""
import sys
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
address = sys.argv[1]
if len(sys.argv) == 4:
    roots = open(sys.argv[2], "rb").read()
    OPTIONS.append(("grpc.ssl_target_name_override", sys.argv[3]))
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), OPTIONS)
else:
    channel = grpc.insecure_channel(address, OPTIONS)


def method(name):
    return f"/interop.Test/{name}"


unary = lambda name: channel.unary_unary(method(name))
stream = lambda name: channel.unary_stream(method(name))


def fails(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def four_modes():
    answer, call = unary("Unary").with_call(b"message", metadata=(("x-sent", "s"),), timeout=10)
    assert answer == b"message"
    assert ("x-initial", "s") in call.initial_metadata(), call.initial_metadata()
    trailing = dict(call.trailing_metadata())
    assert trailing["x-trailing"] == "t" and trailing["x-trailing-bin"] == b"\x00\xff", trailing
    assert call.code() == grpc.StatusCode.OK
    assert unary("Unary")(b"") == b"", "an empty message"
    assert list(stream("ServerStream")(b"100")) == [b"%d" % n for n in range(100)]
    count = channel.stream_unary(method("ClientStream"))(iter([b"a" * 1000] * 50))
    assert count == b"50000", count
    assert channel.stream_unary(method("ClientStream"))(iter([])) == b"0"
    # A message at a time: each is answered before the next is sent.
    turn = threading.Semaphore(1)

    def messages():
        for number in range(20):
            assert turn.acquire(timeout=10)
            yield b"%d" % number

    got = []
    for answer in channel.stream_stream(method("Bidi"))(messages()):
        got.append(answer)
        turn.release()
    assert got == [b"%d" % number for number in range(20)], got
    assert list(channel.stream_stream(method("Bidi"))(iter([]))) == []


def empty_and_large():
    call = stream("Empty")(b"")
    assert list(call) == [] and call.code() == grpc.StatusCode.OK
    large = bytes(range(256)) * (4 << 20 >> 8)
    assert unary("Unary")(large, timeout=30) == large


def statuses():
    error = fails(lambda: unary("Fail")(b""))
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    assert error.details() == "no such thing: ä %", error.details()
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert details == b"\x08\x05\x12\x04none", details
    call = stream("AbortMid")(b"")
    got = []
    error = fails(lambda: [got.append(one) for one in call])
    assert got == [b"one", b"two"], got
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "broken off"), error
    error = fails(lambda: unary("Nothing")(b""))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    # Not the server's: nobody owns the path.
    error = fails(lambda: channel.unary_unary("/other.Service/Call")(b""))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def deadlines():
    left = int(unary("Remaining")(b"", timeout=5))
    assert 3000 < left < 5200, left
    error = fails(lambda: unary("Slow")(b"", timeout=0.3))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def cancellation():
    call = stream("Wait")(b"")
    assert next(call) == b"waiting"
    call.cancel()
    assert fails(lambda: next(call)).code() == grpc.StatusCode.CANCELLED
    assert unary("WasCancelled")(b"") == b"yes", "the server saw it"
    # A deadline in the middle of a stream is one, too.
    call = stream("Wait")(b"", timeout=0.3)
    assert next(call) == b"waiting"
    assert fails(lambda: next(call)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert unary("WasCancelled")(b"") == b"yes", "the server saw it"


def health_and_reflection():
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
    watched.cancel()
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    [answer] = stub.ServerReflectionInfo(iter([asked]))
    names = [service.name for service in answer.list_services_response.service]
    assert "grpc.health.v1.Health" in names, names


def many_at_once():
    calls = [unary("Unary").future(b"%d" % number) for number in range(200)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(200)]


for part in [four_modes, empty_and_large, statuses, deadlines, cancellation, health_and_reflection, many_at_once]:
    part()
print("fine")
