"""Runtimes from end to end: built by the real service with the host's own package manager and registries, used by jobs, and
the host as it was. Long in an emulated machine, and it needs package sources, so all of it is host_only.

A runtime is built once and used by every test that needs it: `runtime(NAME)` builds examples/NAME on first use, and begins
with the next one, so that two are built at a time. What only a hook can see is asked by hooks before the base is installed, which then end the build with a status of their own: such a
build takes no longer than its hook."""

import collections
import concurrent.futures
import contextlib
import functools
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import ROOT, Server, differences, eventually, read, seconds

pytestmark = pytest.mark.host_only("needs package sources, and is long in an emulated machine")

EXAMPLES = os.path.join(ROOT, "examples")
NAMES = ["python", "java", "go", "python-hooks", "rust", "node", "node-hooks"]
PHASES = ["Parse & Validate", "Detect Platform", "Check Disk Space", "Validate Packages", "Prepare Directories",
          "Pre-install Hook", "Install Base", "Install Packages", "Post-install Hook", "Copy Binaries", "Copy Libraries",
          "Copy Configuration", "Generate Config", "Validate Build"]
# What a hook ends with when its build is to end there.
ENOUGH = 77
# A hook for a build whose packages do not matter: from now on apt-get does this. The runtime has what the host has of them.
NO_APT = "printf '#!/bin/sh\\n{0}\\n' >/usr/local/sbin/apt-get; chmod 755 /usr/local/sbin/apt-get"

Build = collections.namedtuple("Build", "returncode out err")


class Builder:
    """A server for the builds of this file, and what it has built."""

    def __init__(self, server):
        self.server = server
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.building = {}
        self.directory = os.path.join(server.directory, "specifications")
        os.mkdir(self.directory)

    def write(self, name, version="1.0.0", language="python", base="3.11", script=None, **more):
        """A directory with a specification. JSON is YAML."""
        directory = os.path.join(self.directory, f"{name}-{time.monotonic_ns()}")
        os.mkdir(directory)
        specification = {"schema_version": "1.0", "name": name, "version": version, "description": f"a test of {name}",
                         "base": {"language": language, "version": base}, **more}
        with open(os.path.join(directory, "runtime.yaml"), "w", encoding="utf-8") as file:
            json.dump(specification, file)
        if script is not None:
            with open(os.path.join(directory, "setup.sh"), "w", encoding="utf-8") as file:
                file.write(script)
        return directory

    def build(self, path, *flags, within=240, role=None):
        result = self.server.rnx("runtime", "build", *flags, path, check=False, within=within, role=role)
        return Build(result.returncode, result.stdout, result.stderr)

    def hook(self, name, script, *flags, timeout="60s", within=90):
        """Runs @script as pre_install hook of a build that ends with it. The lines that it wrote."""
        path = self.write(name, hooks={"timeout": timeout, "pre_install": script + f"\nexit {ENOUGH}\n"})
        result = self.build(path, "-v", *flags, within=within)
        assert result.returncode == 1 and "BUILD FAILED" in result.out, result
        assert str(ENOUGH) in failure(result), result.out[-3000:]
        return log_lines(result)

    def example(self, name):
        """The directory of examples/NAME. Node.js is the host's: the example with its version is copied to one with ours."""
        directory = os.path.join(EXAMPLES, name)
        version = node_version()
        if not name.startswith("node") or version == "18":
            return directory
        copy = os.path.join(self.directory, name)
        if not os.path.isdir(copy):
            text = read(os.path.join(directory, "runtime.yaml")).decode()
            os.mkdir(copy)
            with open(os.path.join(copy, "runtime.yaml"), "w", encoding="utf-8") as file:
                file.write(text.replace("node-18", f"node-{version}").replace('"18"', f'"{version}"'))
        return copy

    def begin(self, name):
        def timed():
            started = time.monotonic()
            result = self.build(self.example(name), "-v")
            print(f"examples/{name}: {time.monotonic() - started:.0f} s")
            return result

        if name not in self.building:
            self.building[name] = self.pool.submit(timed)
        return self.building[name]

    def runtime(self, name):
        """The result of building examples/NAME, built on first use."""
        building = self.begin(name)
        if not building.done() and name != NAMES[-1]:
            self.begin(NAMES[NAMES.index(name) + 1])
        result = building.result()
        # A channel of grpcio answers no ping while nobody calls; the server has closed it meanwhile.
        self.server.close_channels()
        assert result.returncode == 0, f"examples/{name}: {result.out[-4000:]}{result.err}"
        return result

    def name_of(self, example):
        return re.search(r"^name: (\S+)", read(os.path.join(self.example(example), "runtime.yaml")).decode(), re.M)[1]

    def start(self, path, *flags):
        """rnx in the background."""
        words = [self.server.rnx_program, "--config", self.server.rnx_config, "runtime", "build", *flags, path]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def stored(self):
        """What lies in the store, the names of ours that begin with a dot included."""
        found = []
        for directory, names, _ in os.walk(os.path.join(self.server.prefix, "runtimes")):
            depth = directory[len(os.path.join(self.server.prefix, "runtimes")):].count("/")
            found += [os.path.join(directory, name)[len(self.server.prefix) + 10:] for name in names]
            if depth == 1:
                names.clear()
        return sorted(found)

    def settled(self):
        """As stored(), when nothing is in the making or to be swept."""
        eventually(lambda: not [name for name in self.stored() if name.startswith(".")], what="all is swept")
        return self.stored()


def phases(result):
    return re.findall(r"^\[(\d+)/14\] (.*?): ", result.out, re.M)


def log_lines(result):
    return [line.split("] ", 1)[1] for line in result.out.splitlines() if re.match(r"\[[A-Z]+\] ", line)]


def failure(result):
    return result.out.split("\nError: ", 1)[1] if "\nError: " in result.out else ""


def labelled(lines, label):
    """What a hook wrote behind LABEL=."""
    return [line.split("=", 1)[1] for line in lines if line.startswith(label + "=")]


@functools.cache
def node_version():
    """The first number of the version of nodejs that the host's package sources have."""
    listed = subprocess.run(["apt-cache", "policy", "nodejs"], capture_output=True, text=True, check=True).stdout
    return re.search(r"Candidate: (?:\d+:)?(\d+)", listed)[1]


@pytest.fixture(scope="module")
def builder(stubs, host):
    server = Server(*stubs)
    made = Builder(server)
    yield made
    made.pool.shutdown(cancel_futures=True)
    server.stop()


@pytest.fixture
def jobs(builder):
    """The server, for jobs: none is left after the test."""
    builder.server.close_channels()
    yield builder.server
    builder.server.clear()


def package_state():
    """Of the host's package manager: its database, lists, marks and downloads, by content."""
    found = {}
    for tree in ("/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/etc/apt"):
        for directory, _, files in os.walk(tree):
            for path in (os.path.join(directory, name) for name in files):
                with contextlib.suppress(OSError):
                    found[path] = hashlib.sha256(read(path)).hexdigest()
    return found


@contextlib.contextmanager
def unchanged_packages():
    before = package_state()
    yield
    changed = differences(before, package_state())
    assert not changed, f"the host's package database is not as it was: {changed}"


# --- the languages


@pytest.mark.parametrize("example", NAMES)
def test_examples_are_built(builder, example):
    with unchanged_packages():
        result = builder.runtime(example)
    assert "BUILD SUCCESSFUL" in result.out and result.err == ""
    assert [name for _, name in phases(result)] == PHASES
    assert [int(number) for number, _ in phases(result)] == list(range(1, 15))
    name = builder.name_of(example)
    assert f"Runtime: {name}\n" in result.out and f"rnx job run --runtime={name} <command>" in result.out
    listed = json.loads(builder.server.rnx("runtime", "list", "--json").stdout)
    assert [(runtime["available"], runtime["size_bytes"] > 10 << 20) for runtime in listed if runtime["name"] == name] == [
        (True, True)]
    info = json.loads(builder.server.rnx("runtime", "info", "--json", name).stdout)
    assert info["language"] == example.split("-")[0] and info["original_yaml"] == read(
        os.path.join(builder.example(example), "runtime.yaml")).decode()
    # Its record is in the audit log.
    record, = json.loads(builder.server.rnx("audit", "list", "--json", "--action=runtime.build", "--result=ok",
                                            "--job=" + info["build_info"]["build_id"]).stdout)
    assert (record["outcome"], record["host"], record["runtime"]) == ("success", "unchanged", f"{name}@{info['version']}")
    assert all(record[f"phase_{number:02}"].startswith(f"{phase}: done, ") for number, phase in enumerate(PHASES, 1))
    published = os.path.join(builder.server.prefix, "runtimes", name, info["version"])
    assert record["manifest"] == hashlib.sha256(read(os.path.join(published, "manifest"))).hexdigest()
    assert int(record["changed_count"]) == read(os.path.join(published, "changes")).count(b"\n")
    tested = builder.server.rnx("runtime", "test", "--timeout=2m", name, within=130)
    assert "Runtime test passed" in tested.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate of our own for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", directory / "key.pem", "-out", directory / "cert.pem"], check=True, capture_output=True)
    return {"TLS_CERT": (directory / "cert.pem").read_text(), "TLS_KEY": (directory / "key.pem").read_text()}


def run(server, runtime, script, within=60, **fields):
    outcome = server.shell(script, within=within, runtime=runtime, **fields)
    assert outcome.status.status == "COMPLETED", f"{outcome.status.end_reason} {outcome.status.error}: {outcome.text}"
    return outcome.text


PYTHON_TLS = r"""
import os, socket, ssl, threading
for name in ("cert", "key"):
    open(f"/tmp/{name}.pem", "w").write(os.environ["TLS_" + name.upper()])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/cert.pem", "/tmp/key.pem")
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
        connection.sendall(connection.recv(100).upper())
threading.Thread(target=serve).start()
trust = ssl.create_default_context(cafile="/tmp/cert.pem")
with socket.create_connection(listener.getsockname()) as plain, trust.wrap_socket(plain, server_hostname="localhost") as secure:
    secure.sendall(b"hello")
    print(secure.version(), secure.recv(100).decode())
"""


def test_python(builder, jobs, certificate):
    builder.runtime("python")
    answer = jobs.rnx("job", "run", "--follow", "--runtime=python-3.11", "python3", "-c", "print('hello', 6 * 7)")
    assert answer.stdout == "hello 42\n"
    # Parts of the language that are shared objects, and a package with a compiled part.
    assert run(jobs, "python-3.11", "python3 -c 'import ssl, ctypes, sqlite3, zlib, lzma, bz2, decimal, hashlib; print(hashlib.sha256(b\"\").hexdigest()[:8])'"
               ) == "e3b0c442\n"
    text = run(jobs, "python-3.11@1.0.0", "python3 -c 'import numpy, requests; print(numpy.__version__, numpy.arange(4).dot(numpy.arange(4)), "
               "numpy.__file__)'")
    assert text.startswith("1.26.4 14 /usr/")
    assert run(jobs, "python:3.11", "echo $PYTHONUTF8 $PYTHONUNBUFFERED; pip3 --version | cut -d' ' -f1") == "1 1\npip\n"
    job = jobs.run("python3", "-c", PYTHON_TLS, runtime="python-3.11", environment=certificate)
    assert jobs.wait(job).status == "COMPLETED", jobs.logs(job)
    assert jobs.logs(job) == b"TLSv1.3 HELLO\n"
    status = jobs.status(job)
    assert status.runtime.startswith("python-3.11")
    assert "Runtime: python-3.11" in jobs.rnx("job", "status", job).stdout


def test_python_hooks(builder, jobs):
    lines = log_lines(builder.runtime("python-hooks"))
    assert any(line.startswith("building python-3.11-data 1.0.0 for debian on ") for line in lines)
    assert "2.1.4 14.0.2" in lines
    assert run(jobs, "python-3.11-data", "python3 -c 'import pandas, pyarrow; print(pyarrow.table({\"a\": [1, 2]}).to_pandas()[\"a\"].sum())'",
               max_memory=1024) == "3\n"


JAVA_TLS = r"""
import java.io.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import javax.net.ssl.*;

public class Tls {
    static byte[] bytes(String pem) {
        return Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
    }
    public static void main(String[] words) throws Exception {
        byte[] shown = bytes(System.getenv("TLS_CERT"));
        Certificate certificate = CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(shown));
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(bytes(System.getenv("TLS_KEY"))));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("own", key, new char[0], new Certificate[] {certificate});
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, new char[0]);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("own", certificate);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress());
        Thread server = new Thread(() -> {
            try (SSLSocket peer = (SSLSocket) listener.accept()) {
                String line = new BufferedReader(new InputStreamReader(peer.getInputStream())).readLine();
                peer.getOutputStream().write((line.toUpperCase() + "\n").getBytes());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        server.start();
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", listener.getLocalPort())) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.getOutputStream().write("hello\n".getBytes());
            System.out.println(socket.getSession().getProtocol() + " " + new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
        }
        server.join();
        /* Who is trusted by default is there too, and this certificate is none of them. */
        TrustManagerFactory usual = TrustManagerFactory.getInstance("PKIX");
        usual.init((KeyStore) null);
        X509TrustManager manager = (X509TrustManager) usual.getTrustManagers()[0];
        System.out.println(manager.getAcceptedIssuers().length > 50);
        try {
            manager.checkServerTrusted(new java.security.cert.X509Certificate[] {(java.security.cert.X509Certificate) certificate}, "ECDHE_ECDSA");
        } catch (java.security.cert.CertificateException e) {
            System.out.println("not trusted");
        }
    }
}
"""


def test_java(builder, jobs, certificate):
    builder.runtime("java")
    text = run(jobs, "java-17", """set -e
cat > Hello.java <<'END'
import java.security.MessageDigest;
import java.util.HexFormat;
public class Hello {
    public static void main(String[] words) throws Exception {
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(words[0].getBytes());
        System.out.println("hello " + HexFormat.of().formatHex(digest).substring(0, 8));
        System.out.println(javax.net.ssl.SSLContext.getDefault().getProtocol());
    }
}
END
javac Hello.java
java Hello ''
jar --create --file hello.jar --main-class Hello Hello.class && java -jar hello.jar x | head -1
""", max_memory=2048, max_processes=500)
    assert [line for line in text.splitlines() if "JAVA_TOOL_OPTIONS" not in line] == [
        "hello e3b0c442", "Default", "hello 2d711642"]
    text = run(jobs, "java-17", "printf '%s\\n' \"$SOURCE\" >Tls.java && javac Tls.java && java Tls", max_memory=2048, max_processes=500,
               environment={**certificate, "SOURCE": JAVA_TLS.strip()})
    assert [line for line in text.splitlines() if "JAVA_TOOL_OPTIONS" not in line] == ["TLSv1.3 HELLO", "true", "not trusted"]


NODE_TLS = r"""
const tls = require('tls');
const server = tls.createServer({cert: process.env.TLS_CERT, key: process.env.TLS_KEY}, s => s.on('data', d => s.end(String(d).toUpperCase())));
server.listen(0, '127.0.0.1', () => {
  const socket = tls.connect({port: server.address().port, host: '127.0.0.1', servername: 'localhost', ca: process.env.TLS_CERT}, () => socket.write('hello'));
  socket.on('data', d => console.log(socket.getProtocol(), String(d)));
  socket.on('end', () => server.close());
});
"""


def test_node(builder, jobs, certificate):
    builder.runtime("node")
    limits = {"max_memory": 1024, "max_processes": 200}
    assert run(jobs, builder.name_of("node"), "node -e 'console.log(\"hello\", 6 * 7)'", **limits) == "hello 42\n"
    text = run(jobs, builder.name_of("node"), "echo 'const x: number = 42; console.log(x)' > a.ts && tsc a.ts && node a.js && tsc --version", **limits)
    assert text == "42\nVersion 5.3.3\n"
    job = jobs.run("node", "-e", NODE_TLS, runtime=builder.name_of("node"), environment=certificate, **limits)
    assert jobs.wait(job).status == "COMPLETED", jobs.logs(job)
    assert jobs.logs(job) == b"TLSv1.3 HELLO\n"


def test_node_hooks(builder, jobs):
    builder.runtime("node-hooks")
    versions = json.loads(run(jobs, builder.name_of("node-hooks"), "report", max_memory=1024, max_processes=200))
    assert "openssl" in versions
    assert run(jobs, builder.name_of("node-hooks") + "@1.2.0", "prettier --version", max_memory=1024, max_processes=200) == "3.1.1\n"


GO = r"""
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

func main() {
	pair, err := tls.X509KeyPair([]byte(os.Getenv("TLS_CERT")), []byte(os.Getenv("TLS_KEY")))
	if err != nil {
		panic(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		panic(err)
	}
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		line, _ := bufio.NewReader(connection).ReadString('\n')
		fmt.Fprint(connection, strings.ToUpper(line))
		connection.Close()
	}()
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM([]byte(os.Getenv("TLS_CERT")))
	connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: trust, ServerName: "localhost"})
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(connection, "hello")
	line, _ := bufio.NewReader(connection).ReadString('\n')
	fmt.Print(connection.ConnectionState().Version == tls.VersionTLS13, " ", line)
}
"""


def test_go(builder, jobs, certificate):
    builder.runtime("go")
    text = run(jobs, "go-1.19", "set -e; mkdir hello; cd hello; printf 'module hello\\ngo 1.19\\n' > go.mod; printf '%s\\n' \"$SOURCE\" > main.go; gofmt -l .; "
               "go build -o hello . && ./hello", within=120, max_memory=2048, max_processes=500,
               environment={**certificate, "SOURCE": GO.strip(), "HOME": "/work", "GOCACHE": "/work/cache", "GOPATH": "/work/go"})
    assert text == "true HELLO\n"


# Rust's own library has no TLS, and crates would have to be fetched: the library that the runtime has because of cargo.
RUST_TLS = r"""
use std::ffi::CString;
use std::net::{TcpListener, TcpStream};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::io::AsRawFd;
type Any = *mut c_void;
extern "C" {
    fn TLS_method() -> Any;
    fn SSL_CTX_new(method: Any) -> Any;
    fn SSL_CTX_use_certificate_file(context: Any, path: *const c_char, kind: c_int) -> c_int;
    fn SSL_CTX_use_PrivateKey_file(context: Any, path: *const c_char, kind: c_int) -> c_int;
    fn SSL_CTX_load_verify_file(context: Any, path: *const c_char) -> c_int;
    fn SSL_CTX_set_verify(context: Any, mode: c_int, callback: Any);
    fn SSL_new(context: Any) -> Any;
    fn SSL_set1_host(ssl: Any, name: *const c_char) -> c_int;
    fn SSL_set_fd(ssl: Any, fd: c_int) -> c_int;
    fn SSL_accept(ssl: Any) -> c_int;
    fn SSL_connect(ssl: Any) -> c_int;
    fn SSL_read(ssl: Any, bytes: *mut u8, size: c_int) -> c_int;
    fn SSL_write(ssl: Any, bytes: *const u8, size: c_int) -> c_int;
    fn SSL_get_version(ssl: Any) -> *const c_char;
}
fn read(ssl: Any) -> Vec<u8> {
    let mut bytes = [0u8; 100];
    let size = unsafe { SSL_read(ssl, bytes.as_mut_ptr(), 100) };
    assert!(size > 0);
    bytes[..size as usize].to_vec()
}
fn write(ssl: Any, bytes: &[u8]) {
    assert_eq!(unsafe { SSL_write(ssl, bytes.as_ptr(), bytes.len() as c_int) }, bytes.len() as c_int);
}
fn main() {
    let file = |name: &str| {
        let path = format!("/tmp/{}.pem", name);
        std::fs::write(&path, std::env::var(format!("TLS_{}", name)).unwrap()).unwrap();
        CString::new(path).unwrap()
    };
    let (shown, key, name) = (file("CERT"), file("KEY"), CString::new("localhost").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let trusted = shown.clone();
    let server = std::thread::spawn(move || unsafe {
        let context = SSL_CTX_new(TLS_method());
        assert_eq!(SSL_CTX_use_certificate_file(context, shown.as_ptr(), 1), 1);
        assert_eq!(SSL_CTX_use_PrivateKey_file(context, key.as_ptr(), 1), 1);
        let (ssl, peer) = (SSL_new(context), listener.accept().unwrap().0);
        SSL_set_fd(ssl, peer.as_raw_fd());
        assert_eq!(SSL_accept(ssl), 1);
        write(ssl, &read(ssl).to_ascii_uppercase());
    });
    unsafe {
        let context = SSL_CTX_new(TLS_method());
        assert_eq!(SSL_CTX_load_verify_file(context, trusted.as_ptr()), 1);
        SSL_CTX_set_verify(context, 1, std::ptr::null_mut());
        let (ssl, stream) = (SSL_new(context), TcpStream::connect(address).unwrap());
        assert_eq!(SSL_set1_host(ssl, name.as_ptr()), 1);
        SSL_set_fd(ssl, stream.as_raw_fd());
        assert_eq!(SSL_connect(ssl), 1);
        write(ssl, b"hello");
        let version = std::ffi::CStr::from_ptr(SSL_get_version(ssl)).to_str().unwrap();
        println!("{} {}", version, String::from_utf8(read(ssl)).unwrap());
    }
    server.join().unwrap();
}
"""


def test_rust(builder, jobs, certificate):
    builder.runtime("rust")
    text = run(jobs, "rust-1.63", """set -e
mkdir -p hello/src; cd hello
printf '[package]\\nname = "hello"\\nversion = "0.1.0"\\nedition = "2021"\\n' > Cargo.toml
cat > src/main.rs <<'END'
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    println!("hello {}", words.join("+"));
}
#[test]
fn adds() {
    assert_eq!(1 + 1, 2);
}
END
cargo build --offline --quiet
target/debug/hello a b
cargo test --offline --quiet 2>&1 | grep -c '1 passed'
""", within=120, max_memory=2048, max_processes=500, environment={"HOME": "/work", "CARGO_HOME": "/work/cargo"})
    assert text == "hello a+b\n1\n"
    text = run(jobs, "rust-1.63", """set -e
printf '%s\\n' "$SOURCE" >tls.rs
rustc -C link-arg=-l:libssl.so.3 tls.rs
./tls
""", within=120, max_memory=2048, max_processes=500, environment={**certificate, "SOURCE": RUST_TLS.strip()})
    assert text == "TLSv1.3 HELLO\n"


def test_what_a_failed_build_changed_is_recorded(builder):
    """By whom, and nothing else; of what joblet made there is nothing."""
    builder.hook("leaves-traces", "echo x >/srv/trace; echo y >>/etc/hosts; rm /usr/bin/tac; mkdir -p $RUNTIME_DIR/own; kill -0 $$")
    record = json.loads(builder.server.rnx("audit", "list", "--json", "--action=runtime.build", "--result=failed").stdout)[-1]
    assert (record["runtime"], record["host"]) == ("leaves-traces@1.0.0", "unchanged")
    changed = record["changed"].splitlines()
    assert {"added step:pre_install /srv/trace", "changed step:pre_install /etc/hosts", "removed package:coreutils /usr/bin/tac",
            "added step:pre_install /opt/joblet/runtimes/leaves-traces/1.0.0/own"} <= set(changed), changed
    assert int(record["changed_count"]) == len(changed) < 10, changed


def test_a_runtime_is_complete(builder, jobs):
    """Not one file of the host is seen, nothing in it can be written, and what would give rights is not there."""
    builder.runtime("python")
    text = run(jobs, "python-3.11", """
cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/ '
find / -xdev \\( -perm -4000 -o -perm -2000 -o -type b \\) 2>/dev/null | head
touch /usr/x 2>&1 | grep -c Read-only
ls -d /usr/share/doc/python3.11 /var/cache/apt/archives/*.deb 2>/dev/null
cat /home/* /root/* /srv/* 2>/dev/null
cat /etc/shadow 2>/dev/null | grep -F '$'
true
""")
    mount, *rest = text.splitlines()
    assert mount.startswith("/ ro") and rest == ["1"], text


@pytest.mark.shows("CIS-Docker 4.11", "NIST 4.1.1")
def test_bill_of_materials(builder):
    builder.runtime("python")
    bill = json.loads(builder.server.rnx("runtime", "info", "--sbom", "python-3.11").stdout)
    assert bill.get("spdxVersion", "").startswith("SPDX-") or bill.get("bomFormat") == "CycloneDX"
    parts = bill.get("packages") or bill.get("components")
    names = {part["name"] for part in parts}
    # The last two came with the base root: nothing of Python needs them.
    assert {"python3.11", "libc6", "numpy", "requests", "coreutils", "tar"} <= names
    versions = {part["name"]: part.get("versionInfo", part.get("version")) for part in parts}
    assert versions["numpy"] == "1.26.4"
    licenses = {part["name"]: part.get("licenses") for part in parts}
    assert licenses["requests"] == [{"license": {"id": "Apache-2.0"}}]
    assert [part for part in parts if part["purl"].startswith("pkg:deb/") and "GPL-2.0-or-later" in str(part.get("licenses"))]


# --- the store


@pytest.mark.shows("NIST 4.2.2")
def test_unchanged_specification_is_not_built_again(builder):
    """A HIT says so with its reason, and takes no time."""
    builder.runtime("python")
    started = time.monotonic()
    result = builder.build(os.path.join(EXAMPLES, "python"), "-v")
    assert result.returncode == 0 and time.monotonic() - started < seconds(20), result.out[-2000:]
    assert any(re.search(r"\bHIT\b", line) for line in log_lines(result)), result.out[-2000:]


PLANT = """
for f in $(ls -S /tmp/pip-files/*); do echo poison >>$f; break; done
for f in $(find /tmp/npm-cache/_cacache/content-v2 -type f -size -100k); do
    if [ "$(head -c 2 $f | od -An -tx1)" = " 1f 8b" ]; then echo poison >>$f; break; fi
done
cd /var/cache/apt/archives
for f in *; do [ ! -f $f ] || echo poison >>$f; done
for kind in apt- pip-; do echo poison >$kind$(printf 0%.0s $(seq 64)); done
echo poison >tree_1_all.deb; cp tree_1_all.deb /tmp/pip-files/$(printf 1%.0s $(seq 64))
"""


def test_downloads_of_earlier_builds(builder, jobs):
    """What an earlier build has fetched is not fetched again, and nothing is used that is not what it should be: the earlier build
    plants others in all places that it reaches, and then some that are kept are spoiled."""
    for building in builder.building.values():
        building.result()  # nothing is kept while another build reads
    cache, bases = (os.path.join(builder.server.prefix, name) for name in ("cache/apt", "cache/base"))
    before, told = set(os.listdir(cache)), []
    for version in ("1.0.0", "1.0.1"):
        path = builder.write("again", version, "node", "any", pip=["six==1.16.0", "idna==3.6", "certifi==2024.2.2"],
                             npm=["left-pad@1.3.0", "is-number@7.0.0", "repeat-string@1.6.1"],
                             hooks={"post_install": PLANT} if version == "1.0.0" else {})
        result = builder.build(path, "-v")
        assert result.returncode == 0, result.out[-4000:]
        told.append(dict(line.split(": ", 1) for line in log_lines(result) if re.match("(apt|pip|npm): ", line)))
        if version == "1.0.0":
            check_downloads(cache)
            spoil_downloads(cache, before)
            for name in os.listdir(bases):
                os.unlink(os.path.join(bases, name))  # so that its packages are needed again
    for step in ("pip", "npm"):
        assert re.fullmatch(r"HIT 0 of 3 files \(0\.0 MB\), MISS 3: not in the cache", told[0][step])
        assert re.fullmatch(r"HIT 1 of 3 files \(0\.\d MB\), MISS 1: not in the cache, MISS 1: not what they should be", told[1][step])
    assert re.fullmatch(r"nothing is to be fetched|HIT 0 of (\d+) packages \(0\.0 MB\), MISS \1: not what the package sources say",
                        told[1]["apt"])
    text = run(jobs, "again@1.0.1", "python3 -c 'import certifi, idna, six; print(six.__version__, idna.__version__)'; "
               "ls /usr/lib/node_modules /usr/local/lib/node_modules 2>/dev/null | grep -cE '^(is-number|left-pad|repeat-string)$'")
    assert text == "1.16.0 3.6\n3\n"


def check_downloads(cache):
    """Each is named by what is in it."""
    digests = {"apt": hashlib.sha256, "npm": hashlib.sha512, "pip": lambda content: hashlib.blake2b(content, digest_size=32)}
    for name in os.listdir(cache):
        kind, digest = name.split("-")
        assert digests[kind](read(os.path.join(cache, name))).hexdigest() == digest, name


def spoil_downloads(cache, before):
    """One byte of each package of apt, and of one of the files that pip and npm have added."""
    names = sorted(os.listdir(cache))
    added = {kind: [name for name in names if name.startswith(kind) and name not in before] for kind in ("pip-", "npm-")}
    assert [len(found) for found in added.values()] == [2, 2], names
    for name in [name for name in names if name.startswith("apt-")] + [found[0] for found in added.values()]:
        path = os.path.join(cache, name)
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 255]))


def test_a_version_that_is_there_is_not_replaced(builder):
    builder.runtime("python")
    before = builder.server.rnx("runtime", "info", "--json", "python-3.11").stdout
    path = builder.write("python-3.11", pip=["six"])
    result = builder.build(path)
    assert result.returncode == 1 and re.search("--force|exist|is there", failure(result)), result.out[-2000:]
    assert "Install Base" not in result.out
    assert builder.server.rnx("runtime", "info", "--json", "python-3.11").stdout == before


SMALL = """set -eu
echo "JOBLET_CHROOT=$JOBLET_CHROOT" "JOB_ID=$JOB_ID" "BUILD_ID=$BUILD_ID"
echo "RUNTIME_TYPE=$RUNTIME_TYPE" "RUNTIME_NAME=$RUNTIME_NAME" "RUNTIME_VERSION=$RUNTIME_VERSION" "RUNTIME_DIR=$RUNTIME_DIR"
mkdir -p "$RUNTIME_DIR/bin"
printf '#!/bin/sh\\necho MARK\\n' > "$RUNTIME_DIR/bin/mark"
chmod 755 "$RUNTIME_DIR/bin/mark"
ls -d "/opt/joblet/runtimes/$RUNTIME_TYPE/$RUNTIME_NAME/bin/mark"
cp /bin/true "$RUNTIME_DIR/bin/setuid" && chmod 4755 "$RUNTIME_DIR/bin/setuid"
echo stray > /home/stray
"""
MARK = "/opt/joblet/runtimes/small/1.0.0/bin/mark"


def write_small(builder, mark):
    return builder.write("small", script=SMALL.replace("MARK", mark), hooks={"timeout": "60s", "pre_install": NO_APT.format("")})


@pytest.fixture(scope="module")
def small(builder):
    """A runtime by setup.sh."""
    result = builder.build(write_small(builder, "one"), "-v")
    assert result.returncode == 0, result.out[-4000:]
    return result


def test_setup_script(small, builder, jobs):
    text = "\n".join(log_lines(small))
    words = dict(word.split("=", 1) for word in re.findall(r"\b[A-Z_]+=\S+", text) if "=" in word)
    assert (words["JOBLET_CHROOT"], words["RUNTIME_TYPE"], words["RUNTIME_NAME"], words["RUNTIME_VERSION"]) == (
        "true", "python", "small", "1.0.0")
    assert re.fullmatch(r"[0-9a-f-]{36}", words["JOB_ID"]) and words["BUILD_ID"]
    assert words["RUNTIME_DIR"] in ("/opt/joblet/runtimes/small/1.0.0", "/opt/joblet/runtimes/python/small")
    assert "/opt/joblet/runtimes/python/small/bin/mark" in text
    # What was written beside it is thrown away and told; the right of another user is taken away and told.
    assert "/home/stray" in text and "bin/setuid" in text
    assert not os.path.exists("/home/stray")
    assert run(jobs, "small", f"{MARK}; ls /home; test -u {os.path.dirname(MARK)}/setuid || echo plain") == "one\nplain\n"


def test_replaced_under_a_running_job(small, builder, jobs):
    """A job keeps the runtime that it was started on; the next one gets the new one; in use it is not removed."""
    job = jobs.run("sh", "-c", f"trap '{MARK}; exit 0' TERM; {MARK}; while :; do sleep 0.1; done", runtime="small")
    assert b"one" in jobs.wait_for_output(job, "one")
    refused = jobs.rnx("runtime", "remove", "small", check=False)
    assert refused.returncode == 1 and "Failed to remove runtime" in refused.stdout, refused
    path = write_small(builder, "two")
    assert builder.build(path).returncode == 1
    forced = builder.build(path, "--force", "-v")
    assert forced.returncode == 0, forced.out[-3000:]
    jobs.close_channels()
    assert run(jobs, "small", MARK) == "two\n"
    jobs.stop_job(job)
    assert jobs.wait(job).end_reason == "stopped" and jobs.logs(job, stream=1) == b"one\none\n"
    assert builder.settled().count("small/1.0.0") == 1


@pytest.mark.shows("CIS-Docker 4.12", "NIST 4.1.5", "OWASP D08")
def test_a_changed_runtime_is_not_used(small, builder, jobs):
    """A file that does not fit the manifest is found by the test, and by the first job after a start of the service."""
    path = os.path.join(jobs.prefix, "runtimes/small/1.0.0/isolated" + MARK)
    with open(path, "a", encoding="ascii") as file:
        file.write("echo changed\n")
    tested = jobs.rnx("runtime", "test", "small", check=False, within=60)
    assert tested.returncode == 1 and "bin/mark" in tested.stdout, tested
    jobs.restart()
    refused = jobs.rnx("job", "run", "--runtime=small", "true", check=False, within=60)
    assert refused.returncode == 1 and "small" in refused.stderr, refused


@pytest.mark.shows("CIS-Docker 6.1")
def test_remove(small, builder, jobs):
    removed = jobs.rnx("runtime", "remove", "small@1.0.0")
    assert "Runtime removed successfully" in removed.stdout and re.search(r"^Freed space: [\d.]+[KMG]B$", removed.stdout, re.M)
    assert "small" not in jobs.rnx("runtime", "list").stdout
    missing = jobs.rnx("runtime", "info", "small", check=False)
    assert (missing.returncode, missing.stderr) == (1, "Error: runtime not found: small\n")
    refused = jobs.rnx("job", "run", "--runtime=small", "true", check=False)
    assert refused.returncode == 1 and "small" in refused.stderr
    assert jobs.rnx("runtime", "remove", "small", check=False).returncode == 1
    assert not [name for name in builder.settled() if "small" in name]


# --- what a build may and may not


# Of this run: what another one left that was killed is not taken for, nor tidied up as, this one's.
CANARY = f"joblet-canary-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def canaries():
    """Secrets of the host where a build must not find them, and services that it must not reach."""
    paths = [f"/etc/{CANARY}", f"/root/{CANARY}", f"/home/{CANARY}", f"/var/lib/{CANARY}", f"/srv/{CANARY}", f"/run/{CANARY}"]
    abstract = socket.socket(socket.AF_UNIX)
    service = socket.create_server(("0.0.0.0", 0))
    files = socket.socket(socket.AF_UNIX)
    try:
        for path in paths:
            with open(path, "w", encoding="ascii") as file:
                file.write(CANARY)
            os.chmod(path, 0o600)
        abstract.bind("\0" + CANARY)
        abstract.listen()
        files.bind(f"/run/{CANARY}.socket")
        os.chmod(f"/run/{CANARY}.socket", 0o666)
        files.listen()
        yield paths, service.getsockname()[1]
    finally:
        for opened in (abstract, service, files):
            opened.close()
        for path in [*paths, f"/run/{CANARY}.socket"]:
            with contextlib.suppress(OSError):
                os.remove(path)


LOOK = r"""
echo "id=$(id -u):$(id -g)"
for path in $CANARIES; do [ ! -e "$path" ] || echo "seen=$path"; done
echo "shadow=$(grep -c . /etc/shadow)"
grep -hE '^[^:]*:[^:]*[$]' /etc/shadow /etc/gshadow | sed 's/^/hash=/'
for path in /home /root /srv /run /boot /var/lib/docker; do echo "inside=$path: $(ls -A $path 2>/dev/null | tr '\n' ' ')"; done
echo "prefix=$(ls -A /opt/joblet 2>/dev/null | tr '\n' ' ')"
for pid in /proc/[0-9]*; do echo "process=$(tr '\0' ' ' <$pid/cmdline | cut -c1-60)"; done
(mount -t tmpfs none /mnt && echo mounted=1) 2>/dev/null
(mknod /tmp/disk b 252 0 && head -c 1 /tmp/disk && echo node=1) 2>/dev/null
(echo 1 > /proc/sys/kernel/printk && echo sysctl=1) 2>/dev/null
(date -s 2000-01-01 && echo clock=1) 2>/dev/null
(chown 1000:1000 /etc/hostname && echo "chown=$(stat -c %u /etc/hostname)") 2>/dev/null
useradd -m visitor && echo "user=$(su -s /bin/sh visitor -c 'id -un')"
python3 - <<'END'
import os, socket
def reach(label, family, address):
    with socket.socket(family) as client:
        client.settimeout(4)
        try:
            client.connect(address)
            print(f"{label}=reached")
        except TimeoutError:
            print(f"{label}=silent")
        except OSError as error:
            print(f"{label}=refused {error.errno}")
reach("metadata", socket.AF_INET, ("169.254.169.254", 80))
reach("abstract", socket.AF_UNIX, "\0" + os.environ["CANARY"])
reach("run", socket.AF_UNIX, f"/run/{os.environ['CANARY']}.socket")
for line in open("/proc/net/route").readlines()[1:]:
    fields = line.split()
    if fields[1] == "00000000":
        gateway = ".".join(str(byte) for byte in bytes.fromhex(fields[2])[::-1])
        reach("gateway", socket.AF_INET, (gateway, int(os.environ["PORT"])))
for address in os.environ["HOST_ADDRESSES"].split():
    reach("host", socket.AF_INET, (address, int(os.environ["PORT"])))
reach("api", socket.AF_INET, ("127.0.0.1", int(os.environ["API_PORT"])))
END
"""


def host_addresses():
    listed = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    return [address for address in re.findall(r" inet ([\d.]+)/", listed) if not address.startswith("127.")]


@pytest.fixture(scope="module")
def seen(builder, canaries):
    """What a hook said of its surroundings."""
    paths, port = canaries
    variables = {"CANARIES": " ".join([*paths, builder.server.prefix]), "CANARY": CANARY, "PORT": port,
                 "HOST_ADDRESSES": " ".join(host_addresses()), "API_PORT": builder.server.address.rsplit(":", 1)[1]}
    script = "".join(f"export {name}={json.dumps(str(value))}\n" for name, value in variables.items()) + LOOK
    return builder.hook("looks", script)


@pytest.mark.shows("CIS-Docker 4.10", "OWASP D06", "Checklist 2")
def test_a_hook_sees_no_secrets(seen):
    assert labelled(seen, "id") == ["0:0"]
    assert not labelled(seen, "seen") and not labelled(seen, "hash")
    assert labelled(seen, "shadow") != ["0"]
    assert not [line for line in labelled(seen, "inside") if CANARY in line or line.startswith("/var/lib/docker: ") and line[17:].strip()]
    assert labelled(seen, "prefix") in (["runtimes "], ["runtimes"])


def test_a_hook_sees_its_own_processes_only(seen):
    programs = labelled(seen, "process")
    assert 1 <= len(programs) < 12 and not [line for line in programs if "pytest" in line or "rnx" in line], programs


def test_a_hook_has_no_power_over_the_host(seen):
    for label in ("mounted", "node", "sysctl", "clock"):
        assert not labelled(seen, label), label
    assert os.stat("/etc/hostname").st_uid == 0 and not subprocess.run(
        ["getent", "passwd", "visitor"], check=False, capture_output=True).stdout
    # What package managers need works.
    assert labelled(seen, "chown") == ["1000"] and labelled(seen, "user") == ["visitor"]


def test_a_hook_reaches_no_service_of_the_host(seen):
    assert labelled(seen, "metadata")[0].startswith("refused"), seen
    for label in ("abstract", "run", "gateway", "host", "api"):
        answers = labelled(seen, label)
        assert answers and "reached" not in answers, (label, answers)


@pytest.mark.shows("Checklist 4", "CIS-Linux 6.1")
def test_a_hook_installs_and_the_host_does_not_notice(builder):
    """apt-get in a hook: the package is there in the build, and the host's database is byte by byte as it was."""
    assert not shutil.which("hello"), "the test needs a package that the host does not have"
    with unchanged_packages():
        lines = builder.hook("installs", """
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends hello >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
echo "hello=$(hello)"
echo "status=$(dpkg -s hello | grep ^Status)"
dpkg -l | grep -c ^ii | sed 's/^/count=/'
""", within=180, timeout="150s")
    assert labelled(lines, "hello") == ["Hello, world!"] and labelled(lines, "status") == ["Status: install ok installed"]
    assert int(labelled(lines, "count")[0]) > 100
    assert not shutil.which("hello")


def test_a_failing_hook_leaves_nothing(builder):
    before = builder.settled()
    path = builder.write("fails", hooks={"pre_install": "echo to be seen\nmkdir -p $RUNTIME_DIR; echo x > $RUNTIME_DIR/x\nexit 3\n"})
    result = builder.build(path)
    assert result.returncode == 1 and result.err == "Error: build failed\n"
    assert "BUILD FAILED" in result.out and "3" in failure(result) and "hook" in failure(result).lower()
    assert [name for _, name in phases(result)] == PHASES[:6]
    assert builder.settled() == before
    told = builder.server.rnx("--json", "runtime", "build", path, check=False, within=60)
    answer = json.loads(told.stdout)
    assert told.returncode == 1 and not answer["success"] and answer["name"] == "fails" and answer["message"]
    assert "fails" not in builder.server.rnx("runtime", "list").stdout


def test_a_hook_that_takes_too_long(builder):
    path = builder.write("slow", hooks={"timeout": "2s", "pre_install": "trap '' TERM\nsleep 100 & sleep 100\n"})
    started = time.monotonic()
    result = builder.build(path, within=60)
    assert result.returncode == 1 and 2 <= time.monotonic() - started < seconds(30)
    assert "2s" in failure(result) and "hook" in failure(result).lower(), failure(result)
    assert "Install Base" not in result.out


def test_dry_run(builder):
    before = builder.settled()
    path = builder.write("dry", hooks={"pre_install": "echo must not run\n"}, pip=["six"])
    result = builder.build(path, "--dry-run", "-v", within=60)
    assert result.returncode == 0 and "DRY RUN SUCCESSFUL" in result.out, result
    assert [name for _, name in phases(result)] == PHASES[:4] and "must not run" not in result.out
    assert builder.settled() == before
    missing = builder.build(builder.write("dry", language="java", base="99"), "--dry-run", within=60)
    assert missing.returncode == 1 and "openjdk-99-jdk" in missing.out, missing


@pytest.mark.shows("NIST 4.2.3")
def test_who_may(builder):
    path = builder.write("roles", hooks={"pre_install": "exit 3"})
    for role in ("developer", "reader"):
        result = builder.build(path, role=role, within=30)
        assert result.returncode == 1 and "PermissionDenied" in result.err and not result.out
        assert builder.server.rnx("runtime", "remove", "x", role=role, check=False).returncode == 1
    assert "BUILD FAILED" in builder.build(path, role="maintainer", within=60).out


# --- the end of a build from outside


@contextlib.contextmanager
def nothing_left(builder):
    """Of a build nothing is there after it. What else the host has is compared at the end of the run."""
    server, before = builder.server, builder.settled()
    yield
    eventually(lambda: builder.stored() == before, 20, "nothing is left in the store")
    eventually(lambda: not os.listdir(os.path.join(server.prefix, "state/jobs")), 20, "no files of a build are left")
    eventually(lambda: not server.init_pids(), 20, "no process 1 of a build is left")
    assert not [pid for pid in filter(str.isdigit, os.listdir("/proc")) if NAP in command_line(pid)]
    assert not [path for path in glob.glob("/sys/class/net/jb*p*") if bridge_of(server) + "p" in path]
    assert not [line for line in read("/proc/mounts").decode().splitlines() if server.prefix in line]


NAP = b"31417"  # seconds: nobody else sleeps so long


def command_line(pid):
    with contextlib.suppress(OSError):
        return read(f"/proc/{pid}/cmdline")
    return b""


def bridge_of(server):
    """The name of the bridge of the server's builds: that of the table that carries its prefix's numbers."""
    stat = os.stat(server.prefix)
    listed = subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, text=True, check=True).stdout
    for name in re.findall(r'"name": "joblet_([0-9a-f]+)"', listed):
        table = subprocess.run(["nft", "list", "table", "inet", f"joblet_{name}"], capture_output=True, text=True, check=False).stdout
        if f":{stat.st_ino}\"" in table:
            return f"jb{name}"
    return "none"


@pytest.mark.parametrize("way", ["interrupt", "kill"])
def test_cancelled(builder, way):
    path = builder.write("cancelled", hooks={"pre_install": "(sleep 31417 & setsid sleep 31417 &) ; echo it runs; sleep 31417"})
    with nothing_left(builder):
        process = builder.start(path, "-v")
        for line in process.stdout:
            if b"it runs" in line:
                break
        else:
            raise AssertionError(process.stderr.read())
        process.send_signal(signal.SIGINT if way == "interrupt" else signal.SIGKILL)
        assert process.wait(seconds(10)) == (130 if way == "interrupt" else -signal.SIGKILL)
        process.stdout.close()
        assert process.stderr.read() == (b"\nrnx: the build is cancelled\n" if way == "interrupt" else b"")
        process.stderr.close()


# --- several at the same time


def read_until(process, said):
    for line in process.stdout:
        if said in line:
            return
    raise AssertionError(process.stderr.read())


def wake(count=1):
    """Ends the naps of all hooks, as soon as so many sleep: one that only said that it runs is not asleep yet."""
    def naps():
        found = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if command_line(pid).startswith(b"sleep\0" + NAP)]
        return found if len(found) >= count else None
    for pid in eventually(naps, what=f"{count} hooks sleep"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def test_builds_beside_each_other(builder):
    """Two names: they run at the same time, and neither sees the other."""
    script = f"echo x > /tmp/NAME.mark; echo x > /usr/NAME.mark; echo it runs; sleep 31417; ls /tmp/*.mark /usr/*.mark; exit {ENOUGH}"
    names = ("beside-a", "beside-b")
    builds = [builder.start(builder.write(name, hooks={"pre_install": script.replace("NAME", name)}), "-v") for name in names]
    for process in builds:
        read_until(process, b"it runs")
    wake(len(builds))
    for name, process in zip(names, builds):
        out, err = process.communicate(timeout=seconds(60))
        assert str(ENOUGH).encode() in out, (out, err)
        assert sorted(re.findall(rb"\S+\.mark$", out, re.M)) == [f"/tmp/{name}.mark".encode(), f"/usr/{name}.mark".encode()]
    assert not glob.glob("/usr/beside-*.mark")


@pytest.mark.parametrize("collects", [True, False])
def test_a_host_that_changes(builder, collects):
    """The host's own administrator at work while a build lies over it: named, and nothing is published. So it is beside another failure."""
    path, name = f"/etc/joblet-changed-{secrets.token_hex(6)}", f"changes-{collects}".lower()
    end = "true" if collects else "printf broken >/var/lib/dpkg/status"
    directory = builder.write(name, hooks={"timeout": "60s", "pre_install": NO_APT.format(""),
                                           "post_install": f"echo it runs; sleep 31417; {end}"})
    process = builder.start(directory, "-v")
    try:
        read_until(process, b"it runs")
        with open(path, "w", encoding="ascii") as file:
            file.write("x")
        wake()
        out, err = process.communicate(timeout=seconds(120))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    said = out.decode()
    assert process.returncode == 1 and "files of the host changed during the build" in said and path in said, (said[-3000:], err)
    assert ("Error: Validate Build: host changed during the build" in said) == collects, said[-1500:]
    assert not [stored for stored in builder.settled() if name in stored]


def test_builds_of_the_same_name(builder):
    """The second one waits for the first one, and sees nothing of it."""
    path = builder.write("twice", hooks={"pre_install": f"ls $RUNTIME_DIR /tmp; touch $RUNTIME_DIR/mine /tmp/mine; echo it runs; sleep 31417; exit {ENOUGH}"})
    first = builder.start(path, "-v")
    read_until(first, b"it runs")
    second = builder.start(path, "-v")
    for line in second.stdout:
        assert b"it runs" not in line and b"mine" not in line
        if b"waiting for another build of twice@1.0.0" in line:
            break
    assert first.poll() is None
    wake()
    outputs = [first.communicate(timeout=seconds(60))]
    read_until(second, b"it runs")
    wake()
    outputs.append(second.communicate(timeout=seconds(60)))
    for out, err in outputs:
        assert str(ENOUGH).encode() in out and b"mine" not in out and err == b"Error: build failed\n", (out, err)
