"""What reaches the port: TLS, certificates, HTTP/2 and gRPC as a client that is not ours sends them, and what is not gRPC at
all. After each the server answers as before."""

import concurrent.futures
import os
import socket
import ssl
import subprocess
import tempfile

import grpc
import pytest

from conftest import SLOWER, eventually, pem_blocks, seconds

METHODS = {  # all of the contract, with the lowest role that may call each
    "JobService": {"RunJob": "developer", "GetJobStatus": "reader", "StopJob": "developer", "CancelJob": "developer",
                   "DeleteJob": "developer", "DeleteAllJobs": "developer", "GetJobLogs": "reader", "ListJobs": "reader",
                   "StreamJobMetrics": "reader", "GetJobMetrics": "reader", "StreamJobTelematics": "reader",
                   "GetJobTelematics": "reader"},
    "NetworkService": {"CreateNetwork": "maintainer", "ListNetworks": "reader", "RemoveNetwork": "admin"},
    "VolumeService": {"CreateVolume": "maintainer", "ListVolumes": "reader", "RemoveVolume": "admin"},
    "MonitoringService": {"GetSystemStatus": "reader", "StreamSystemMetrics": "reader"},
    "RuntimeService": {"ListRuntimes": "reader", "GetRuntimeInfo": "reader", "TestRuntime": "developer",
                       "RemoveRuntime": "admin", "BuildRuntime": "maintainer", "ValidateRuntimeYAML": "maintainer"},
}
OFFERED = {"RunJob", "GetJobStatus", "StopJob", "DeleteJob", "DeleteAllJobs", "GetJobLogs", "ListJobs", "GetSystemStatus",
           *METHODS["RuntimeService"]}
ORDER = ["reader", "developer", "maintainer", "admin"]


def address(server):
    host, port = server.address.rsplit(":", 1)
    return host, int(port)


def answers(server):
    """The server still does its work, on a new connection."""
    channel = server.connect(server.credentials("reader"))
    try:
        server.stubs.JobServiceStub(channel).ListJobs(server.pb.EmptyRequest(), timeout=seconds(10))
    finally:
        channel.close()


# Emulation makes them long, and neither the kernel nor its control groups have a part in them.
pytestmark = pytest.mark.host_only("the network side is the same on every kernel")


@pytest.mark.parametrize("role", ORDER)
@pytest.mark.shows("CIS-Docker 2.12", "NIST 4.3.1", "NIST 4.5.4")
def test_all_methods_for_each_role(server, role):
    assert sum(len(methods) for methods in METHODS.values()) == 26
    wrong = []
    for service, methods in METHODS.items():
        for method, lowest in methods.items():
            # An empty request is a valid message of each method; DeleteAllJobs of a server without jobs harms nobody.
            call = server.channel(role).unary_stream(f"/joblet.{service}/{method}")
            try:
                for _ in call(b"", timeout=seconds(10)):
                    pass
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
            denied = ORDER.index(role) < ORDER.index(lowest)
            if denied != (code == grpc.StatusCode.PERMISSION_DENIED):
                wrong.append((service, method, code))
            if not denied and (method not in OFFERED) != (code == grpc.StatusCode.UNIMPLEMENTED):
                wrong.append((service, method, code))
    assert not wrong


@pytest.mark.parametrize("path", ["/joblet.JobService/RunWorkflow", "/grpc.health.v1.Health/Check", "/x", "/joblet.JobService/"])
def test_unknown_methods(server, path):
    with pytest.raises(grpc.RpcError) as error:
        server.channel().unary_unary(path)(b"", timeout=seconds(10))
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


# --- who may connect


def openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


def make_certificate(directory, authority_cert, authority_key, *more, start=None, end=None):
    """A client certificate of role admin by that authority; key and certificate as bytes."""
    openssl(directory, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "client.key")
    openssl(directory, "req", "-new", "-key", "client.key", "-subj", "/O=Joblet/OU=admin/CN=admin-client", "-out", "client.csr")
    with open(os.path.join(directory, "ext"), "w", encoding="utf-8") as file:
        file.write("basicConstraints=CA:FALSE\nextendedKeyUsage=" + (more[0] if more else "clientAuth") + "\n")
    if start:  # only `openssl ca` takes both times
        for name, text in (("index", ""), ("serial", "1000\n"), ("ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=index\n"
                           "serial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\nO=optional\nOU=optional\n"
                           "CN=optional\n")):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
        openssl(directory, "ca", "-batch", "-config", "ca.cnf", "-cert", authority_cert, "-keyfile", authority_key, "-in",
                "client.csr", "-out", "client.crt", "-startdate", start, "-enddate", end, "-extfile", "ext", "-notext")
    else:
        openssl(directory, "x509", "-req", "-in", "client.csr", "-CA", authority_cert, "-CAkey", authority_key,
                "-CAcreateserial", "-days", "1", "-extfile", "ext", "-out", "client.crt")
    return [open(os.path.join(directory, name), "rb").read() for name in ("client.key", "client.crt")]


def refused_at_handshake(server, key, cert):
    ca = pem_blocks(os.path.join(server.prefix, "config/rnx-config-admin.yml"))["ca"]
    channel = server.connect(grpc.ssl_channel_credentials(ca, key, cert))
    try:
        with pytest.raises(grpc.RpcError) as error:
            server.stubs.JobServiceStub(channel).ListJobs(server.pb.EmptyRequest(), timeout=seconds(5))
        assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    finally:
        channel.close()
    answers(server)


@pytest.mark.shows("CIS-Docker 2.7", "NIST 4.3.2")
def test_no_certificate(server):
    refused_at_handshake(server, None, None)


@pytest.mark.shows("CIS-Docker 2.7", "NIST 4.3.2")
def test_foreign_authority(server):
    with tempfile.TemporaryDirectory() as directory:
        openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", "ca.crt", "-subj", "/CN=Joblet-CA", "-days", "1")
        refused_at_handshake(server, *make_certificate(directory, "ca.crt", "ca.key"))


def authority(server):
    return [os.path.join(server.prefix, "config", name) for name in ("ca.crt", "ca.key")]


def test_own_authority_is_accepted(server):
    """The counterpart of the refusals: the same way of making a certificate, by the right authority."""
    with tempfile.TemporaryDirectory() as directory:
        key, cert = make_certificate(directory, *authority(server))
    ca = pem_blocks(os.path.join(server.prefix, "config/rnx-config-admin.yml"))["ca"]
    channel = server.connect(grpc.ssl_channel_credentials(ca, key, cert))
    server.stubs.JobServiceStub(channel).ListJobs(server.pb.EmptyRequest(), timeout=seconds(10))
    channel.close()


@pytest.mark.shows("NIST 4.3.2")
def test_expired_certificate(server):
    with tempfile.TemporaryDirectory() as directory:
        pair = make_certificate(directory, *authority(server), start="20200101000000Z", end="20200201000000Z")
    refused_at_handshake(server, *pair)


def test_certificate_of_a_server(server):
    with tempfile.TemporaryDirectory() as directory:
        pair = make_certificate(directory, *authority(server), "serverAuth")
    refused_at_handshake(server, *pair)


def tls_context(server, role="admin"):
    pem = pem_blocks(os.path.join(server.prefix, f"config/rnx-config-{role}.yml"))
    context = ssl.create_default_context(cadata=pem["ca"].decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem["cert"] + pem["key"])
        file.flush()
        context.load_cert_chain(file.name)
    return context


@pytest.mark.shows("CIS-Docker 2.7")
def test_old_tls(server):
    context = tls_context(server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError), socket.create_connection(address(server), timeout=seconds(5)) as raw:
        context.wrap_socket(raw, server_hostname="joblet")
    answers(server)


def test_other_protocol_than_http2(server):
    context = tls_context(server)
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises((ssl.SSLError, ConnectionError)), \
            socket.create_connection(address(server), timeout=seconds(5)) as raw, \
            context.wrap_socket(raw, server_hostname="joblet") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        if not connection.recv(100):
            raise ConnectionError("closed")
    answers(server)


def test_names_of_the_server(server):
    context = tls_context(server)
    context.set_alpn_protocols(["h2"])
    for name in ("joblet", "localhost", "127.0.0.1"):
        with socket.create_connection(address(server), timeout=seconds(5)) as raw, \
                context.wrap_socket(raw, server_hostname=name) as connection:
            assert connection.version() == "TLSv1.3"
            assert connection.selected_alpn_protocol() == "h2"


# --- what is not gRPC


@pytest.mark.parametrize("data", [
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="plain HTTP"),
    pytest.param(b"\0" * 5000, id="zeros"),
    pytest.param(os.urandom(70000), id="random"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP 2 without TLS"),
    pytest.param(b"\x16\x03\x01\xff\xff" + b"x" * 3000, id="a broken handshake"),
    pytest.param(b"", id="nothing")])
def test_garbage_on_the_port(server, data):
    with socket.create_connection(address(server), timeout=seconds(15)) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:  # the server may close at any of these
            pass
    answers(server)


def test_garbage_behind_the_handshake(server):
    context = tls_context(server)
    context.set_alpn_protocols(["h2"])
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(5000),
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"):
        with socket.create_connection(address(server), timeout=seconds(15)) as raw, \
                context.wrap_socket(raw, server_hostname="joblet") as connection:
            try:
                connection.sendall(data)
                while connection.recv(4096):
                    pass
            except (ConnectionError, ssl.SSLError):
                pass
    answers(server)


def test_many_silent_connections(server):
    """Connections that never say a word take nothing from those that do."""
    silent = [socket.create_connection(address(server), timeout=seconds(5)) for _ in range(200)]
    try:
        answers(server)
    finally:
        for connection in silent:
            connection.close()
    answers(server)


# --- calls


def test_large_messages(server):
    """A request just below 128 MiB is taken whole, and refused for what it asks, not for its size; one above is refused by its
    size."""
    channel = server.connect(server.credentials(), ("grpc.max_send_message_length", -1))
    jobs = server.stubs.JobServiceStub(channel)
    upload = server.pb.FileUpload(path="large", content=b"x" * (127 << 20))
    with pytest.raises(grpc.RpcError) as error:
        jobs.RunJob(server.pb.RunJobRequest(command="true", uploads=[upload]), timeout=seconds(120))
    assert error.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT)
    assert "upload" in error.value.details()
    upload.content = b"x" * (129 << 20)
    with pytest.raises(grpc.RpcError) as error:
        jobs.RunJob(server.pb.RunJobRequest(command="true", uploads=[upload]), timeout=seconds(120))
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    channel.close()
    answers(server)


def test_who_may_not_cannot_make_us_buffer(server):
    """A reader's upload is answered on its headers."""
    channel = server.connect(server.credentials("reader"), ("grpc.max_send_message_length", -1))
    request = server.pb.RunJobRequest(command="true", uploads=[server.pb.FileUpload(content=b"x" * (100 << 20))])
    with pytest.raises(grpc.RpcError) as error:
        server.stubs.JobServiceStub(channel).RunJob(request, timeout=seconds(60))
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
    channel.close()


def test_compression_is_refused(server):
    with pytest.raises(grpc.RpcError) as error:
        server.jobs().ListJobs(server.pb.EmptyRequest(), timeout=seconds(10), compression=grpc.Compression.Gzip)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_deadline_ends_a_stream(server):
    job = server.run("sleep", "60")
    with pytest.raises(grpc.RpcError) as error:
        for _ in server.jobs().GetJobLogs(server.pb.GetJobLogsRequest(uuid=job), timeout=SLOWER):
            pass
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.status(job).status == "RUNNING"


def test_cancelled_streams(server):
    job = server.run("sh", "-c", "while :; do echo line; done")
    for _ in range(50):
        stream = server.jobs().GetJobLogs(server.pb.GetJobLogsRequest(uuid=job), timeout=seconds(30))
        next(stream)
        stream.cancel()
    assert server.status(job).status == "RUNNING"
    server.stop_job(job)


def test_slow_reader(server):
    """A reader that does not read stops nobody, and has every byte in the end."""
    size = 30 << 20
    job = server.run("sh", "-c", f"head -c {size} /dev/zero; echo end >&2")
    slow = server.jobs().GetJobLogs(server.pb.GetJobLogsRequest(uuid=job), timeout=seconds(120))
    got = len(next(slow).payload)
    assert server.wait(job, 60).status == "COMPLETED"
    assert len(server.logs(job)) == size + 4
    got += sum(len(chunk.payload) for chunk in slow)
    assert got == size + 4


def test_many_calls_at_once(server):
    job = server.run("true")
    server.wait(job)

    def ask(_):
        return server.status(job).uuid
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(500))) == {job}


def test_many_streams_at_once(server):
    job = server.run("sh", "-c", "sleep 2; seq 1 2000")
    streams = [server.jobs().GetJobLogs(server.pb.GetJobLogsRequest(uuid=job), timeout=seconds(60)) for _ in range(100)]
    expected = "".join(f"{number}\n" for number in range(1, 2001)).encode()
    for stream in streams:
        assert b"".join(chunk.payload for chunk in stream) == expected


def test_pings_without_calls(server):
    """Clients that ping an idle connection are not sent away."""
    channel = server.connect(server.credentials(), ("grpc.keepalive_time_ms", 5000), ("grpc.keepalive_permit_without_calls", 1),
                             ("grpc.http2.max_pings_without_data", 0))
    states = []
    channel.subscribe(states.append)
    jobs = server.stubs.JobServiceStub(channel)
    jobs.ListJobs(server.pb.EmptyRequest(), timeout=seconds(10))
    eventually(lambda: grpc.ChannelConnectivity.READY in states)
    job = server.run("sleep", "12")
    server.wait(job, 30)
    jobs.ListJobs(server.pb.EmptyRequest(), timeout=seconds(10))
    assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in states
    channel.close()


def test_graceful_end(own_server):
    """A stream that runs when the service is told to end is brought to its end first."""
    server = own_server
    job = server.run("sh", "-c", "echo begin; sleep 1; echo end")
    stream = server.chunks(job)
    assert next(stream).payload == b"begin\n"
    pid = server.pid
    os.kill(pid, 15)
    assert b"".join(chunk.payload for chunk in stream) == b"end\n"
    server.close_channels()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 15, "the service ends")
    server.launch()
    assert server.logs(job) == b"begin\nend\n"
    assert server.status(job).status == "COMPLETED"
