"""joblet doctor beside a running server: what it says agrees with what jobs then do, and it leaves nothing."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import ANY_KERNEL, eventually, pem_blocks, seconds


def doctor(server, *arguments, prefix=None):
    return subprocess.run([server.joblet_program, "--prefix", prefix or server.prefix, "doctor", *arguments], capture_output=True,
                          text=True, check=False, timeout=seconds(30), stdin=subprocess.DEVNULL)


def doctor_groups():
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(path).startswith("joblet-doctor-")]


@pytest.mark.shows("NIST 4.3.5")
def test_where_jobs_run_the_doctor_says_so(server):
    result = doctor(server, "--json")
    report = json.loads(result.stdout)
    missing = [row for row in report["rows"] if row["requiredFor"] == "jobs" and row["result"] != "holds"]
    assert not missing and result.returncode == 0 and report["jobsCanRun"] is True
    eventually(lambda: not doctor_groups(), what="no control group of the doctor")
    assert server.shell("echo well").text == "well\n"


@ANY_KERNEL
def test_the_table_has_every_row(server):
    rows = json.loads(doctor(server, "--json").stdout)["rows"]
    table = doctor(server)
    assert table.returncode == 0 and "\033" not in table.stdout
    for row in rows:
        assert f"  {row['name']} " in table.stdout
        # What does not hold says what follows.
        assert bool(row["follows"]) == (row["result"] == "does not hold"), row
    assert "Jobs can run on this host." in table.stdout


def cis(server, prefix=None):
    report = json.loads(doctor(server, "--cis", "--json", prefix=prefix).stdout)
    return {check["id"]: check for check in report["checks"]}


@ANY_KERNEL
@pytest.mark.shows("CIS-Docker 2.7")
def test_what_the_service_accepts(server, tmp_path):
    """It refuses old versions and clients without a certificate; a service that does not is found."""
    checks = cis(server)
    assert all(checks[check]["result"] == "PASS" for check in ("TLS-1", "TLS-2", "TLS-3", "TLS-4", "PREFIX-5", "PREFIX-6", "PREFIX-7")), \
        {check: (found["result"], found["seen"]) for check, found in checks.items() if found["result"] != "PASS"}
    text = doctor(server, "--cis").stdout
    assert all(f"  {check} " in text for check in checks) and "\033" not in text
    pem = pem_blocks(f"{server.prefix}/config/rnx-config-admin.yml")
    for name in ("cert", "key"):
        (tmp_path / name).write_bytes(pem[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    context.set_alpn_protocols(["h2"])
    (tmp_path / "run").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (tmp_path / "run/address").write_text(f"127.0.0.1:{listener.getsockname()[1]}\n", encoding="ascii")

        def serve():
            for _ in range(2):
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with context.wrap_socket(connection, server_side=True) as stream:
                        stream.send(b"x")
                        stream.recv(1)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        checks = cis(server, str(tmp_path))
        thread.join(seconds(30))
    assert [checks[check]["result"] for check in ("TLS-3", "TLS-4")] == ["FAIL", "FAIL"], checks


def test_before_setup(server, tmp_path):
    result = doctor(server, prefix=str(tmp_path / "nowhere"))
    assert result.returncode == 1 and "joblet setup" in result.stdout and "Jobs cannot run" in result.stdout
    assert not (tmp_path / "nowhere").exists()


@ANY_KERNEL
def test_figures_of_the_host(server):
    stub = server.stubs.MonitoringServiceStub(server.channel("reader"))
    status = stub.GetSystemStatus(server.pb.EmptyRequest(), timeout=server.seconds(10))
    assert status.available and status.host.hostname == os.uname().nodename
    assert status.cpu.cores == os.cpu_count() and len(status.cpu.load_average) == 3
    with open("/proc/meminfo", encoding="ascii") as file:
        assert status.memory.total_bytes == int(file.readline().split()[1]) * 1024
    for part in ("host", "cpu", "memory", "processes", "cloud", "io", "server_version"):
        assert status.HasField(part), part
    assert status.processes.total_processes > 1 and len(status.processes.top_by_cpu) <= 10
    assert status.server_version.component == "joblet" and status.server_version.platform.startswith("linux/")
    assert server.rnx("monitor", "status").stdout
    assert json.loads(server.rnx("monitor", "status", "--json").stdout)["hostInfo"]["hostname"] == os.uname().nodename
