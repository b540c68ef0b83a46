"""src/grpc over real sockets: our server with a foreign client (grpcio), our client with our server and with a
foreign one. test_grpc.py ECHO_SERVER ECHO_CLIENT [unittest arguments]"""

import concurrent.futures
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc

SERVER, CLIENT = sys.argv[1:3]
PEMS = tempfile.TemporaryDirectory(prefix="joblet-grpc-")
MIB = 1 << 20
Code = grpc.StatusCode


def openssl(*arguments):
    subprocess.run(("openssl",) + arguments, check=True, cwd=PEMS.name, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key",
            "-out", name + ".crt", "-days", "1", "-subj", "/CN=" + name)


def make_leaf(name, ca, subject, usage, days="1"):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key",
            "-out", name + ".csr", "-utf8", "-subj", subject)
    with open(os.path.join(PEMS.name, name + ".ext"), "w") as extensions:
        extensions.write("extendedKeyUsage=%s\nsubjectAltName=DNS:%s\n" % (usage, name.split("-")[0]))
    openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial",
            "-out", name + ".crt", "-days", days, "-extfile", name + ".ext")


def make_certificates():
    make_ca("ca")
    make_ca("foreign")
    make_leaf("joblet", "ca", "/CN=joblet", "serverAuth")
    make_leaf("client", "ca", "/CN=clïent/OU=admin", "clientAuth")
    make_leaf("stranger", "foreign", "/CN=stranger/OU=admin", "clientAuth")
    make_leaf("expired", "ca", "/CN=expired/OU=admin", "clientAuth", days="-1")
    make_leaf("usage", "ca", "/CN=usage/OU=admin", "serverAuth")
    make_leaf("joblet-foreign", "foreign", "/CN=joblet", "serverAuth")
    make_leaf("other", "ca", "/CN=other", "serverAuth")


def pem(name):
    return os.path.join(PEMS.name, name)


def read(name):
    with open(pem(name), "rb") as handle:
        return handle.read()


class Server:
    def __init__(self, keepalive_ms=10000, certificate="joblet", grace_ms=2000):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self.process = subprocess.Popen(
            [SERVER, str(listener.fileno()), pem(certificate + ".crt"), pem(certificate + ".key"), pem("ca.crt"),
             str(keepalive_ms), str(grace_ms)], stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()],
            env=dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=4"))  # its memory is measured
        self.is_ending = False
        listener.close()
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        if not self.is_ending:
            self.process.send_signal(signal.SIGTERM)
        self.is_ending = True

    def stop(self):
        """A graceful end, after which nothing is held: its last line and exit status."""
        self.end()
        output = self.process.communicate(timeout=60)[0]
        return output.strip(), self.process.returncode

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def resident_kib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def channel(port, name="client", *options, ca="ca"):
    credentials = grpc.ssl_channel_credentials(read(ca + ".crt"), read(name + ".key") if name else None,
                                               read(name + ".crt") if name else None)
    return grpc.secure_channel("127.0.0.1:%d" % port, credentials, options=[
        ("grpc.ssl_target_name_override", "joblet"), ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)] + list(options))


def unary(over, method):
    return over.unary_unary("/t.Test/" + method)


def stream(over, method):
    return over.unary_stream("/t.Test/" + method)


def client(port, verb, *numbers, deadline_ms=60000, name="client", ca="ca"):
    result = subprocess.run([CLIENT, "127.0.0.1:%d" % port, pem(name + ".crt"), pem(name + ".key"), pem(ca + ".crt"),
                             str(deadline_ms), verb] + [str(number) for number in numbers],
                            stdout=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 0, result
    return result.stdout


class Base(unittest.TestCase):
    keepalive_ms = 10000
    grace_ms = 2000

    def setUp(self):
        self.server = Server(self.keepalive_ms, grace_ms=self.grace_ms)

    def tearDown(self):
        self.assertEqual(self.server.stop(), ("figures 0 0 0", 0))

    def fails(self, code, call, *arguments, **keywords):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **keywords)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()


class ForeignClient(Base):
    def setUp(self):
        super().setUp()
        self.channel = channel(self.server.port)

    def tearDown(self):
        self.channel.close()
        super().tearDown()

    def test_unary(self):
        for size in (0, 1, 16378, 16379, 16384, MIB):
            data = os.urandom(size)
            self.assertEqual(unary(self.channel, "Echo")(data, timeout=60), data)

    def test_who(self):
        self.assertEqual(unary(self.channel, "Who")(b"", timeout=60).decode(), "clïent admin")

    def test_error_texts(self):
        for text in ("plain", "100% %41", "Größe 漢字 \U0001f600", "two\nlines\ttab", "", "x" * 600):
            self.assertEqual(self.fails(Code.NOT_FOUND, unary(self.channel, "Fail"), b"\x05" + text.encode(), timeout=60),
                             text)

    def test_unknown_and_not_offered(self):
        self.assertIn("/t.Test/Nothing", self.fails(Code.UNIMPLEMENTED, unary(self.channel, "Nothing"), b"", timeout=60))
        self.fails(Code.UNIMPLEMENTED, unary(self.channel, "NotOffered"), b"", timeout=60)

    def test_forbidden_before_the_body(self):
        self.assertEqual(self.fails(Code.PERMISSION_DENIED, unary(self.channel, "Forbidden"), bytes(50 * MIB), timeout=60),
                         "not for you")
        self.assertLess(self.server.resident_kib(), 40 << 10)

    def test_deadline(self):
        start = time.monotonic()
        self.fails(Code.DEADLINE_EXCEEDED, unary(self.channel, "Hold"), b"", timeout=0.3)
        self.assertLess(time.monotonic() - start, 30)
        self.wait_cancelled(1)

    def wait_cancelled(self, count):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            seen = int(unary(self.channel, "Cancelled")(b"", timeout=60))
            if seen >= count:
                break
            time.sleep(0.02)
        self.assertEqual(seen, count)

    def test_cancelled_stream(self):
        call = stream(self.channel, "Hold")(b"first")
        self.assertEqual(next(call), b"first")
        call.cancel()
        self.wait_cancelled(1)

    def test_connection_lost(self):
        other = channel(self.server.port)
        call = stream(other, "Hold")(b"first")
        self.assertEqual(next(call), b"first")
        other.close()
        self.wait_cancelled(1)

    def test_stream(self):
        call = stream(self.channel, "Stream")(struct.pack("=II", 1000, 10000))
        self.assertEqual([struct.unpack("=I", message[:4])[0] for message in call], list(range(1000)))

    def test_slow_reader(self):
        """The server holds a few MiB for a reader who does not read, and the others do not notice."""
        call = stream(self.channel, "Stream")(struct.pack("=II", 500, MIB))
        next(call)
        time.sleep(1)
        self.assertLess(self.server.resident_kib(), 60 << 10)
        other = channel(self.server.port)
        self.assertEqual(unary(other, "Echo")(b"x", timeout=60), b"x")
        other.close()
        self.assertEqual(sum(len(message) for message in call), 499 * MIB)

    def test_thousand_at_once(self):
        echo = unary(self.channel, "Echo")
        calls = [echo.future(b"%d" % i, timeout=60) for i in range(1000)]
        self.assertEqual([call.result() for call in calls], [b"%d" % i for i in range(1000)])

    def test_more_than_the_streams(self):
        hold = stream(self.channel, "Hold")
        held = [hold(b"x") for _ in range(999)]
        for call in held:
            next(call)
        self.assertEqual(unary(self.channel, "Echo")(b"last", timeout=60), b"last")
        held.append(hold(b"x"))
        next(held[-1])
        # The thousand are taken: the next one waits at the client.
        self.fails(Code.DEADLINE_EXCEEDED, unary(self.channel, "Echo"), b"", timeout=0.5)
        for call in held:
            call.cancel()
        self.assertEqual(unary(self.channel, "Echo")(b"again", timeout=60), b"again")

    def test_large_messages(self):
        data = os.urandom(MIB) * 100
        self.assertEqual(unary(self.channel, "Echo")(data, timeout=60), data)
        self.assertLess(self.server.resident_kib(), 60 << 10)

    def test_oversize(self):
        self.assertIn("larger than max", self.fails(
            Code.RESOURCE_EXHAUSTED, unary(self.channel, "Echo"), bytes(129 * MIB), timeout=60))
        self.assertLess(self.server.resident_kib(), 40 << 10)
        self.assertEqual(unary(self.channel, "Echo")(b"x", timeout=60), b"x")

    def test_buffered_bytes_of_all(self):
        """Each message is small enough, all together are not: some are refused, none breaks the connection."""
        data = bytes(100 * MIB)
        echo = unary(self.channel, "Echo")
        calls = [echo.future(data, timeout=60) for _ in range(5)]
        codes = [call.code() for call in calls]
        self.assertTrue(set(codes) <= {Code.OK, Code.RESOURCE_EXHAUSTED}, codes)
        self.assertEqual(echo(b"x", timeout=60), b"x")

    def test_gzip(self):
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            self.fails(Code.UNIMPLEMENTED, unary(self.channel, "Echo"), b"x" * 10000, timeout=60, compression=compression)

    def test_large_metadata(self):
        with self.assertRaises(grpc.RpcError):
            unary(self.channel, "Echo")(b"x", timeout=60, metadata=(("x-large", "y" * 9000),))
        self.assertEqual(unary(self.channel, "Echo")(b"x", timeout=60, metadata=(("x-small", "y" * 4000),)), b"x")

    def test_goaway_ends_what_does_not(self):
        call = stream(self.channel, "Hold")(b"first")
        next(call)
        start = time.monotonic()
        self.server.end()
        self.fails(Code.UNAVAILABLE, lambda: next(call))
        self.assertGreater(time.monotonic() - start, 1.5)

    def test_cancelled_by_hundreds(self):
        for _ in range(5):
            calls = [stream(self.channel, "Stream")(struct.pack("=II", 100, 1000)) for _ in range(100)]
            for call in calls:
                call.cancel()
        self.assertEqual(unary(self.channel, "Echo")(b"x", timeout=60), b"x")


class Keepalive(Base):
    keepalive_ms = 300

    def test_silent_client_is_pinged(self):
        over = channel(self.server.port)
        call = stream(over, "Hold")(b"x")
        next(call)
        time.sleep(2.5)
        self.assertTrue(call.is_active())
        over.close()

    def test_stopped_client_is_closed(self):
        raw = Raw(self.server.port)
        raw.send(PREFACE)
        start = time.monotonic()
        raw.wait_closed(60)
        self.assertLess(time.monotonic() - start, 60)

    def test_client_may_ping(self):
        over = channel(self.server.port, "client", ("grpc.keepalive_time_ms", 10000),
                       ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0))
        self.assertEqual(unary(over, "Echo")(b"x", timeout=60), b"x")
        raw = Raw(self.server.port)
        raw.send(PREFACE)
        for _ in range(50):
            raw.send(struct.pack(">IBI8s", 8 << 8 | 6, 0, 0, b"12345678"))
            time.sleep(0.01)
        raw.close()
        over.close()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", 4, 0, 0)


DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream_id, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def header_block(path):
    """The headers of a call, each a literal without Huffman code."""
    block = b""
    for pair in ((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "joblet"),
                 ("content-type", "application/grpc"), ("te", "trailers")):
        block += b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair)
    return block


def totals(data):
    """Bytes of payload of each type of frame."""
    found = dict.fromkeys((DATA, HEADERS), 0)
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if len(data) < 9 + size:
            break
        found[data[3]] = found.get(data[3], 0) + size
        data = data[9 + size:]
    return found


class Raw:
    """TLS with bytes of our own above it."""

    def __init__(self, port, name="client", alpn=("h2",), receive_buffer=0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(pem("ca.crt"))
        if name:
            context.load_cert_chain(pem(name + ".crt"), pem(name + ".key"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.plain = socket.socket()
        if receive_buffer:
            self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.plain.settimeout(10)
        self.plain.connect(("127.0.0.1", port))
        self.tls = context.wrap_socket(self.plain, server_hostname="joblet")

    def send(self, data):
        self.tls.sendall(data)

    def wait_closed(self, seconds):
        """All that the server says until it closes."""
        self.tls.settimeout(seconds)
        data = b""
        try:
            while True:
                part = self.tls.recv(65536)
                if not part:
                    return data
                data += part
        except socket.timeout:
            raise
        except (ssl.SSLError, ConnectionError):
            return data
        finally:
            self.close()

    def close(self):
        self.tls.close()


class Leaving(Base):
    """The server ends while a call runs: with a grace that is longer than any reader needs here."""
    grace_ms = 60000

    def test_goaway_lets_a_stream_end(self):
        over = channel(self.server.port)
        call = stream(over, "Stream")(struct.pack("=II", 200, MIB))
        next(call)
        self.server.end()
        time.sleep(0.2)
        self.assertEqual(sum(1 for _ in call), 199)
        over.close()

    def test_last_bytes_arrive_though_the_client_talks(self):
        """A socket that is closed with unread input is reset, and what was on its way to the client is lost."""
        count, size = 20, 20000
        raw = Raw(self.server.port, receive_buffer=8192)
        message = struct.pack("=II", count, size)
        raw.send(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, (1 << 31) - 1)) +
                 frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)) +
                 frame(HEADERS, END_HEADERS, 1, header_block("/t.Test/Stream")) +
                 frame(DATA, END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message))
        data = raw.tls.recv(4096)
        self.server.end()
        while True:
            raw.send(frame(PING, 0, 0, bytes(8)))
            part = raw.tls.recv(4096)
            data += part
            if not part or totals(data)[DATA] >= count * (size + 5):
                break
        self.assertEqual(totals(data)[DATA], count * (size + 5))
        raw.close()


class Strangers(Base):
    def refused(self, *arguments, **keywords):
        over = channel(self.server.port, *arguments, **keywords)
        self.fails(Code.UNAVAILABLE, unary(over, "Echo"), b"x", timeout=60)
        over.close()

    def tearDown(self):
        over = channel(self.server.port)
        self.assertEqual(unary(over, "Echo")(b"well", timeout=60), b"well")
        over.close()
        super().tearDown()

    def test_no_certificate(self):
        self.refused(None)

    def test_foreign_certificate(self):
        self.refused("stranger")

    def test_expired_certificate(self):
        self.refused("expired")

    def test_certificate_of_a_server(self):
        self.refused("usage")

    def test_tls_12(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(pem("ca.crt"))
        context.load_cert_chain(pem("client.crt"), pem("client.key"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", self.server.port)) as plain:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="joblet")

    def test_no_alpn(self):
        for alpn in ((), ("http/1.1",)):
            with self.subTest(alpn=alpn):
                try:
                    raw = Raw(self.server.port, alpn=alpn)
                except (ssl.SSLError, ConnectionError):
                    continue
                self.assertEqual(raw.wait_closed(5), b"")

    def test_plain_http_and_garbage(self):
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE, os.urandom(10000), b"\x16\x03\x01\xff\xff" + bytes(9000)):
            with socket.create_connection(("127.0.0.1", self.server.port)) as plain:
                plain.settimeout(5)
                try:
                    plain.sendall(data)
                    while plain.recv(4096):
                        pass
                except ConnectionError:
                    pass

    def test_garbage_above_tls(self):
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), PREFACE + b"\xff" * 100):
            raw = Raw(self.server.port)
            raw.send(data)
            raw.wait_closed(60)

    def test_silence(self):
        """Without a handshake or a preface the connection ends by itself (after 1 s here)."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as plain:
            plain.settimeout(60)
            self.assertEqual(plain.recv(1), b"")
        raw = Raw(self.server.port)
        raw.send(PREFACE[:10])
        raw.wait_closed(60)

    def test_too_many_connections(self):
        before = self.server.descriptors()
        many = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(200)]
        time.sleep(0.2)
        self.assertLessEqual(self.server.descriptors(), before + 64)
        for plain in many:
            plain.close()
        until = time.monotonic() + 60
        while self.server.descriptors() != before and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.server.descriptors(), before)


class OurClient(Base):
    def test_echo(self):
        self.assertTrue(client(self.server.port, "echo", 2000, 100).startswith("echo 2000 "))
        self.assertTrue(client(self.server.port, "echo", 20, 0).startswith("echo 20 "))
        self.assertTrue(client(self.server.port, "echo", 2, 100 * MIB).startswith("echo 2 "))

    def test_stream(self):
        self.assertTrue(client(self.server.port, "stream", 100000, 10).startswith("stream 100000 "))
        self.assertTrue(client(self.server.port, "stream", 0, 10).startswith("stream 0 "))

    def test_cancel_gives_the_window_back(self):
        self.assertTrue(client(self.server.port, "cancel", 50).startswith("echo 1 "))

    def test_errors(self):
        self.assertEqual(client(self.server.port, "fail", 5), "error NotFound nö 100%\nend\n")
        self.assertEqual(client(self.server.port, "hold", deadline_ms=300),
                         "error DeadlineExceeded context deadline exceeded\n")
        self.assertIn("ResourceExhausted", client(self.server.port, "echo", 1, 129 * MIB))

    def test_nobody_there(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        text = client(port, "echo", 1, 1, deadline_ms=300)
        self.assertIn("DeadlineExceeded", text)
        self.assertIn("Connection refused", text)

    def test_server_with_another_name_or_authority(self):
        for certificate in ("other", "joblet-foreign"):
            other = Server(certificate=certificate)
            self.assertIn("TLS handshake", client(other.port, "echo", 1, 1, deadline_ms=1000))
            other.stop()

    def test_our_certificate_is_refused(self):
        for name in ("stranger", "expired"):
            text = client(self.server.port, "echo", 1, 1, deadline_ms=10000, name=name)
            self.assertIn("error Unavailable", text)
            self.assertIn("alert", text)

    def test_server_goes(self):
        results = []
        thread = threading.Thread(target=lambda: results.append(client(self.server.port, "hold")))
        thread.start()
        time.sleep(0.3)
        self.server.end()
        thread.join()
        self.assertTrue(results[0].startswith("error Unavailable"), results)


class ForeignServer(unittest.TestCase):
    def setUp(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.Test", {
            "Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
            "Stream": grpc.unary_stream_rpc_method_handler(self.serve_stream),
            "Fail": grpc.unary_unary_rpc_method_handler(self.serve_fail),
            "Hold": grpc.unary_unary_rpc_method_handler(lambda request, context: time.sleep(1) or b""),
        })])
        self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
            [(read("joblet.key"), read("joblet.crt"))], read("ca.crt"), True))
        self.server.start()

    def tearDown(self):
        self.server.stop(0).wait()

    @staticmethod
    def serve_stream(request, context):
        count, size = struct.unpack("=II", request)
        for number in range(count):
            yield (struct.pack("=I", number) + bytes(size))[:size]

    @staticmethod
    def serve_fail(request, context):
        context.abort(Code.NOT_FOUND, request[1:].decode())

    def test_echo(self):
        self.assertTrue(client(self.port, "echo", 100, 100).startswith("echo 100 "))
        self.assertTrue(client(self.port, "echo", 1, 50 * MIB).startswith("echo 1 "))

    def test_stream(self):
        self.assertTrue(client(self.port, "stream", 500, 100000).startswith("stream 500 "))

    def test_errors(self):
        self.assertEqual(client(self.port, "fail", 5), "error NotFound nö 100%\nend\n")
        self.assertIn("DeadlineExceeded", client(self.port, "hold", deadline_ms=200))


if __name__ == "__main__":
    make_certificates()
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
