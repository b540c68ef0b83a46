"""A stand-in server for the tests of rnx: gRPC by grpcio, mutual TLS, answers that a test sets.

It is not our server on purpose: what rnx shows is compared with answers that are known to the letter, and the wire is the
one of an implementation that is not ours.
"""
import concurrent.futures
import importlib
import os
import subprocess
import sys

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
from grpc_tools import protoc


def load_stubs(proto, directory):
    """Generates and imports the messages of the .proto file, and of our own services beside it."""
    folder = os.path.dirname(proto)
    for path in (proto, os.path.join(folder, "joblet_ext.proto")):
        if protoc.main(["protoc", "-I" + folder, "--python_out=" + directory, "--grpc_python_out=" + directory, path]) != 0:
            raise RuntimeError("protoc failed")
    sys.path.insert(0, directory)
    return importlib.import_module("joblet_pb2"), importlib.import_module("joblet_pb2_grpc")


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Certificates:
    """One authority with a server certificate (name joblet) and a client certificate; another authority with a client."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = self.make_ca("ca")
        self.server = self.make("ca", "server", "/CN=joblet-server", "subjectAltName=DNS:joblet\nextendedKeyUsage=serverAuth")
        self.client = self.make("ca", "client", "/CN=admin/OU=admin", "extendedKeyUsage=clientAuth")
        self.other_name = self.make("ca", "other", "/CN=other", "subjectAltName=DNS:other\nextendedKeyUsage=serverAuth")
        self.foreign_ca = self.make_ca("foreign")
        self.foreign = self.make("foreign", "stranger", "/CN=x/OU=admin", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def make_ca(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                "/CN=" + name, "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"))
        return self.read(name + ".pem")

    def make(self, ca, name, subject, extensions):
        with open(self.path(name + ".ext"), "w") as file:
            file.write(extensions + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
                self.path(name + ".key"), "-out", self.path(name + ".csr"))
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path(ca + ".pem"), "-CAkey",
                self.path(ca + ".key"), "-CAcreateserial", "-days", "2", "-extfile", self.path(name + ".ext"), "-out",
                self.path(name + ".pem"))
        return self.read(name + ".pem"), self.read(name + ".key")


class StandIn:
    """Serves what is put into `answers`: a message, an error (code, text), a list for a stream, or a function of request and
    context that returns one of these. Requests are kept in `requests`."""

    def __init__(self, pb2, pb2_grpc, certificates, server_certificate=None, port=0, options=()):
        self.pb2 = pb2
        self.answers = {}
        self.requests = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=options)
        ext, ext_grpc = (importlib.import_module(name) for name in ("joblet_ext_pb2", "joblet_ext_pb2_grpc"))
        for service, messages, stubs in (("JobService", pb2, pb2_grpc), ("MonitoringService", pb2, pb2_grpc),
                                         ("RuntimeService", pb2, pb2_grpc), ("AuditService", ext, ext_grpc)):
            servicer = type(service, (getattr(stubs, service + "Servicer"),), {})()
            for method in messages.DESCRIPTOR.services_by_name[service].methods:
                setattr(servicer, method.name, self.handler(method))
            getattr(stubs, "add_" + service + "Servicer_to_server")(servicer, self.server)
        cert, key = server_certificate or certificates.server
        credentials = grpc.ssl_server_credentials([(key.encode(), cert.encode())], certificates.ca.encode(), True)
        self.port = self.server.add_secure_port("127.0.0.1:%d" % port, credentials)
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()

    def answer(self, method, request, context):
        self.requests.append((method, request, context))
        answer = self.answers.get(method, (grpc.StatusCode.UNIMPLEMENTED, "no answer was set"))
        return answer(request, context) if callable(answer) else answer

    def handler(self, method):
        def unary(request, context):
            answer = self.answer(method.name, request, context)
            if isinstance(answer, tuple):
                context.abort(*answer)
            return answer

        def stream(request, context):
            answer = self.answer(method.name, request, context)
            if isinstance(answer, tuple):
                context.abort(*answer)
            yield from answer

        return stream if method.name in ("GetJobLogs", "StreamJobMetrics", "GetJobMetrics", "StreamJobTelematics",
                                         "GetJobTelematics", "StreamSystemMetrics", "BuildRuntime") else unary


def indented(text, blanks=6):
    return "".join(" " * blanks + line + "\n" for line in text.strip().split("\n"))


def write_config(path, nodes):
    """@nodes: name -> dict of address, nodeId, isDefault, cert, key, ca."""
    with open(path, "w") as file:
        file.write('version: "3.0"\nnodes:\n')
        for name, node in nodes.items():
            file.write("  %s:\n    address: \"%s\"\n" % (name, node["address"]))
            if "nodeId" in node:
                file.write("    nodeId: \"%s\"\n" % node["nodeId"])
            if node.get("isDefault"):
                file.write("    isDefault: true\n")
            for key in ("cert", "key", "ca"):
                if key in node:
                    file.write("    %s: |\n%s" % (key, indented(node[key])))
