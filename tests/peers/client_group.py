"""Opens N connections to HOST PORT and keeps them: every other one asks and stays, of the rest each
second one stops in the middle of a head and each second one says that it speaks HTTP/2. Prints how many of those that
asked were served, shed with 503 and closed without a word, once each has come to one of them."""

import select
import socket
import sys
import time

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ASK = b"GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n"
HALF = b"GET /a HTTP/1.1\r\nhost: sho"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
poll = select.epoll()
waiting, kept = {}, []
told = {"served": 0, "shed": 0, "closed": 0}


def look(timeout):
    for number, _ in poll.poll(timeout):
        client = waiting.pop(number, None)
        if client is None:
            continue
        poll.unregister(number)
        try:
            start = client.recv(16)
        except OSError:
            start = b""
        if start.startswith(b"HTTP/1.1 200"):
            told["served"] += 1
        elif start.startswith(b"HTTP/1.1 503"):
            told["shed"] += 1
        else:
            told["closed"] += 1


for at in range(count):
    client = socket.socket()
    # A loopback port has so many peers: each thousand comes from an address of its own.
    client.bind((f"127.0.{2 + at // 1000}.{1 + port % 200}", 0))
    try:
        client.connect((host, port))
        client.send(ASK if at % 2 == 0 else HALF if at % 4 == 1 else HTTP2)
    except OSError:
        pass
    kept.append(client)
    if at % 2 == 0:
        client.setblocking(False)
        waiting[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN | select.EPOLLHUP)
    if at % 50 == 0:
        look(0)
end = time.monotonic() + 60
while waiting and time.monotonic() < end:
    look(1)
told["closed"] += len(waiting)
print(told["served"], told["shed"], told["closed"], flush=True)
sys.stdin.read()
