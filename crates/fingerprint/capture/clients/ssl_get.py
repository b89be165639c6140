"""One GET over a bare ssl.SSLSocket, for the capture of its first flight."""

import socket
import ssl
import sys

ca, port = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
with socket.create_connection(("localhost", int(port))) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while tls.recv(4096):
            pass
