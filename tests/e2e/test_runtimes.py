"""Specifications of runtimes, validated by the real service: who may, the examples of the repository, and hostile ones."""

import json
import os

import grpc
import pytest

from conftest import ANY_KERNEL, FULL, ROOT, seconds

EXAMPLES = os.path.join(ROOT, "examples")
LEAST = "schema_version: '1.0'\nname: a\nversion: 1.0.0\ndescription: d\nbase: {language: python, version: '3.11'}\n"


def validate(server, text, role="admin"):
    stub = server.stubs.RuntimeServiceStub(server.channel(role))
    return stub.ValidateRuntimeYAML(server.pb.ValidateRuntimeYAMLRequest(yaml_content=text), timeout=seconds(60))


def is_right(answer):
    """The text is: whether this host has the packages is another question."""
    return answer.HasField("spec_info")


@pytest.mark.host_only("needs package sources")
def test_examples_are_valid(server):
    names = sorted(os.listdir(EXAMPLES))
    assert names == ["go", "host-protection", "java", "node", "node-hooks", "python", "python-hooks", "rust"]
    names.remove("host-protection")  # of another language than its name: test_verify.py
    found = {}
    # The others are validated when test_builds.py builds them.
    names = names if FULL else ["go", "node-hooks", "python-hooks"]
    for name in names:
        answer = json.loads(server.rnx("runtime", "validate", "--json", os.path.join(EXAMPLES, name)).stdout)
        assert answer["valid"] and not answer["errors"], (name, answer)
        assert not [text for text in answer["warnings"] or [] if "not checked" in text], (name, answer)
        found[name] = answer["spec_info"]
    assert {name: info["language"] for name, info in found.items()} == {name: name.split("-")[0] for name in names}
    assert sorted(name for name, info in found.items() if info["has_hooks"]) == ["node-hooks", "python-hooks"]
    assert len({info["digest"] for info in found.values()}) == len(names)


@ANY_KERNEL
def test_roles(server):
    for role in ("reader", "developer"):
        with pytest.raises(grpc.RpcError) as error:
            validate(server, LEAST, role)
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
        result = server.rnx("runtime", "validate", os.path.join(EXAMPLES, "go"), role=role, check=False)
        assert result.returncode == 1 and "PermissionDenied" in result.stderr and not result.stdout
    assert is_right(validate(server, LEAST, "maintainer"))


@ANY_KERNEL
def test_every_problem_is_said(server, tmp_path):
    (tmp_path / "runtime.yaml").write_text(LEAST.replace("1.0.0", "one") + "pip:\n- -r/etc/shadow\nhook: {}\n")
    result = server.rnx("runtime", "validate", str(tmp_path), check=False)
    assert result.returncode == 1 and result.stderr == "Error: validation failed\n"
    assert [line[4:35] for line in result.stdout.splitlines() if line.startswith("  \u2022 ")] == [
        "line 3: version: 'one' is not t", "line 7: pip: '-r/etc/shadow' is", "line 8: unknown key 'hook'; the"]


HOSTILE = {
    # Would be 9 to the power of 11 texts.
    "aliases": "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    # libyaml compares each with all others.
    "directives": "".join(f"%TAG !{i}! x\n" for i in range(15000)) + "---\n" + LEAST,
    "lists": "a: " + "[" * 100000,
    "mappings": "a: " + "{b: " * 60000,
    "size": "description: " + "x" * (10 << 20),
    "values": LEAST + "pip: [" + "a, " * 80000 + "]",
    "names": LEAST + "name: ../../../etc/passwd\n",
    "packages": LEAST + "pip: ['--target=/etc', '../x', 'git+https://user:word@host/x']\n",
    "options": LEAST + "pip_options: --target /\nnpm: [--prefix=/, ../x]\n",
    "variables": LEAST + "environment: {JOB_ID: x, JOBLET_CHROOT: 'false', LD_PRELOAD: \"\\0\"}\n",
    "libraries": LEAST + "libraries: [/usr/../etc/shadow, ../../x]\n",
    "tags": LEAST + "x: !!python/object/apply:os.system [id]\n",
}


@ANY_KERNEL
def test_hostile_specifications(server):
    """Each is refused with its reasons, the secret in an address is not repeated, and the same process goes on."""
    api = server.children("joblet-api")
    for name, text in HOSTILE.items():
        answer = validate(server, text)
        assert not answer.valid and 1 <= len(answer.errors) <= 65, name
        assert all(error.isprintable() and "word@" not in error for error in answer.errors), name
    assert is_right(validate(server, LEAST))
    assert server.children("joblet-api") == api
