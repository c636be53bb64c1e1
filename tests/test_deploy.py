"""The files in deploy/: valid by their schemas, and what they name is there. None of it is run here."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(set((DEPLOY / "kubernetes").glob("*.yaml")) - {DEPLOY / "kubernetes" / "kustomization.yaml"})
OBJECTS = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]
WORKLOADS = [one for one in OBJECTS if one["kind"] in ("Deployment", "StatefulSet")]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def named(kind):
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def containers():
    return [(work, one) for work in WORKLOADS for one in work["spec"]["template"]["spec"]["containers"]]


def flags_are_known(words):
    from codeact.cli.serve import _parser

    return _parser().parse_args([str(word) for word in words])


@pytest.mark.parametrize("found", OBJECTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_manifests_are_as_the_schemas_of_kubernetes_want_them(found):
    validate = pytest.importorskip("kubernetes_validate")
    version = validate.latest_version()
    validate.validate(found, ".".join(version.split(".")[:2]), strict=True)


def test_the_compose_file_is_as_its_schema_wants_it():
    pytest.importorskip("check_jsonschema")
    checked = subprocess.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
                             capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stdout


def test_nothing_runs_as_root_or_with_more_than_it_needs():
    for work, one in containers():
        pod, own = work["spec"]["template"]["spec"], one["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert {"readinessProbe", "livenessProbe"} <= set(one)
        assert "memory" in one["resources"]["limits"]
        assert {"cpu", "memory"} <= set(one["resources"]["requests"])
    for name, service in COMPOSE["services"].items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert {"mem_limit", "pids_limit", "restart"} <= set(service)
        assert name == "server" or int(service["user"].split(":")[0]) > 0   # its image says so itself
        assert "healthcheck" in service or name == "server"                 # and this


def test_the_kustomization_names_every_manifest():
    resources = set(yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"])
    assert resources == {path.name.replace(".example", "") for path in MANIFESTS}


def test_secrets_that_are_used_have_these_keys():
    secrets = named("Secret")
    for _, one in containers():
        for variable in one.get("env", ()):
            if "valueFrom" in variable:
                asked = variable["valueFrom"]["secretKeyRef"]
                assert asked["key"] in secrets[asked["name"]]["stringData"]
    address = secrets["codeact"]["stringData"]["database-url"]
    assert address.rsplit("@", 1)[1] == "postgres/codeact"


def test_what_is_mounted_is_claimed():
    claims = named("PersistentVolumeClaim")
    for work, one in containers():
        pod = work["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        templates = {claim["metadata"]["name"] for claim in work["spec"].get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in one.get("volumeMounts", ())} <= set(volumes) | templates
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_services_and_policies_find_pods_and_ports():
    labels = {work["spec"]["template"]["metadata"]["labels"]["app"]: work for work in WORKLOADS}
    for service in named("Service").values():
        work = labels[service["spec"]["selector"]["app"]]
        ports = {key for one in work["spec"]["template"]["spec"]["containers"] for port in one["ports"]
                 for key in (port["name"], port["containerPort"])}
        assert all(port.get("targetPort", port["port"]) in ports for port in service["spec"]["ports"])
    for policy in named("NetworkPolicy").values():
        assert policy["spec"]["podSelector"].get("matchLabels", {}).get("app", "codeact") in labels
    for work in WORKLOADS:
        assert work["spec"]["selector"]["matchLabels"] == work["spec"]["template"]["metadata"]["labels"]
        assert work["spec"].get("serviceName", "postgres") in named("Service")
    [rule] = named("Ingress")["codeact"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] in {port["name"] for port in named("Service")[backend["name"]]["spec"]["ports"]}


def test_no_pod_has_more_rights_than_it_needs():
    for work, one in containers():
        pod = work["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert one["securityContext"]["allowPrivilegeEscalation"] is False
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in one["resources"]["limits"]


def test_the_server_is_started_with_flags_it_knows():
    [server] = [one for _, one in containers() if one["name"] == "codeact"]
    args = flags_are_known(server["args"])
    assert args.auth
    [rule] = named("Ingress")["codeact"]["spec"]["rules"]
    assert rule["host"] in args.name
    assert flags_are_known(COMPOSE["services"]["server"]["command"]).auth


def test_the_compose_file_names_what_it_has():
    services = COMPOSE["services"]
    assert set(COMPOSE) <= {"name", "services", "networks", "volumes", "configs", "secrets"}
    for one in services.values():
        assert "image" in one or "build" in one
        assert set(one.get("networks", ())) <= set(COMPOSE["networks"])
        for needed, how in one.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed]
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("./")
        for port in one.get("ports", ()):
            assert port.startswith("127.0.0.1:")   # others come through a proxy
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert services["server"]["environment"]["OPENAI_BASE_URL"] == "http://model:8080/v1"
    text = (DEPLOY / "compose.yaml").read_text()
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert set(re.findall(r"\$\{(\w+)", text)) == set(re.findall(r"^#   ([A-Z_]+)", comments, re.M))


def test_the_container_file_copies_what_there_is_and_starts_the_server():
    lines = (DEPLOY / "Containerfile").read_text().replace("\\\n", "").splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1])
    extras = set(re.search(r"/source\[([\w,]+)\]", "\n".join(lines))[1].split(","))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras <= set(known)
    command = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if line.startswith(("ENTRYPOINT", "CMD"))}
    words = [*yaml.safe_load(command["ENTRYPOINT"]), *yaml.safe_load(command["CMD"])]
    assert words[:2] == ["codeact", "serve"]
    args = flags_are_known(words[2:])
    assert (args.port, args.auth, args.host) == (8765, True, "0.0.0.0")
    assert "USER 10001:10001" in lines


def test_the_readmes_commands_are_the_programs():
    text = (DEPLOY / "README.md").read_text()
    from codeact.cli._serve_users import _DO

    named = re.findall(r"codeact serve user (\w+) alice", text)
    assert {"add", "limits"} <= set(named) <= set(_DO)
    assert text.count("codeact serve user ") == len(named)
    assert "Not run" in text
