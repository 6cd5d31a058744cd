"""What no schema says: that the parts of the manifests fit one another, and the program.

Each check yields sentences about what is wrong; nothing is wrong if there are none.
"""

import re

from manifests import APART, ROOT, default_settings, documents, image, served_paths, shown

ROLES = {"ingest", "aggregator", "api"}
# A role has ended within this time after SIGTERM; README.md of the project promises it.
STOP_S = 10
# What the operator writes onto a target, besides job and instance.
TARGET_LABELS = ["namespace", "service", "endpoint", "pod", "container"]


def every_file_is_rendered(made):
    """A manifest that kustomization.yaml does not name would be left out in silence."""
    for part in (made.folder, made.folder / "monitoring"):
        [kustomization] = documents(part / "kustomization.yaml")
        for path in sorted(part.glob("*.y*ml")):
            if path.name not in APART and path.name not in kustomization["resources"]:
                yield f"{path.name} is not among the resources of kustomization.yaml"


def everything_is_in_one_namespace(made):
    [namespace] = [thing["metadata"]["name"] for thing in made.of_kind("Namespace")]
    for thing in [*made.objects, *made.secrets]:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") != namespace:
            yield f"{shown(thing)} is not in the namespace {namespace}"


def every_role_is_deployed_once(made):
    roles = []
    for deployment, labels, spec in made.pods():
        [container] = spec["containers"]
        role = container["args"][0]
        roles.append(role)
        if labels.get("app.kubernetes.io/component") != role:
            yield f"{shown(deployment)}: the label component of its pods is not {role}"
    if sorted(roles) != sorted(ROLES):
        yield f"the roles are {sorted(ROLES)}, deployed are {sorted(roles)}"


def selectors(made):
    """Pairs of an object and each selector of pods in it."""
    for thing in made.objects:
        spec = thing.get("spec", {})
        match thing["kind"]:
            case "Service":
                yield thing, spec.get("selector", {})
            case "Deployment":
                yield thing, spec["selector"]["matchLabels"]
                pod = spec["template"]["spec"]
                for constraint in pod.get("topologySpreadConstraints", []):
                    yield thing, constraint["labelSelector"]["matchLabels"]
            case "PodDisruptionBudget":
                yield thing, spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                yield thing, spec["podSelector"]["matchLabels"]


def every_selector_selects_the_pods_of_its_name(made):
    for thing, selector in selectors(made):
        names = [found["metadata"]["name"] for found in made.selected(selector)]
        if names != [thing["metadata"]["name"]]:
            yield f"{shown(thing)}: {selector} selects the pods of {names or 'nothing'}"


def every_deployment_has_a_service_and_a_budget(made):
    for deployment, _, _ in made.pods():
        name = deployment["metadata"]["name"]
        for kind in ("Service", "PodDisruptionBudget"):
            if name not in [thing["metadata"]["name"] for thing in made.of_kind(kind)]:
                yield f"{shown(deployment)} has no {kind}"
    for budget in made.of_kind("PodDisruptionBudget"):
        for deployment in made.selected(budget["spec"]["selector"]["matchLabels"]):
            if not 0 < budget["spec"].get("maxUnavailable", 0) < deployment["spec"]["replicas"]:
                yield f"{shown(budget)}: it lets no pod go, or all of them"


def ports(spec):
    return {
        port["name"]: port["containerPort"]
        for container in spec["containers"]
        for port in container["ports"]
    }


def every_port_is_one_of_the_pods(made):
    def missing(thing, selector, wanted):
        for deployment in made.selected(selector):
            known = ports(deployment["spec"]["template"]["spec"])
            if wanted not in known and wanted not in known.values():
                yield f"{shown(thing)}: no port {wanted} in the pods of {shown(deployment)}"

    for service in made.of_kind("Service"):
        for port in service["spec"]["ports"]:
            wanted = port.get("targetPort", port["port"])
            yield from missing(service, service["spec"]["selector"], wanted)
    for policy in made.of_kind("NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            for port in rule["ports"]:
                selector = policy["spec"]["podSelector"]["matchLabels"]
                yield from missing(policy, selector, port["port"])
    for deployment, labels, spec in made.pods():
        for container in spec["containers"]:
            for probe in probes(container).values():
                yield from missing(deployment, labels, probe["httpGet"]["port"])


def every_role_listens_where_its_port_is(made):
    for deployment, _, spec in made.pods():
        role = spec["containers"][0]["args"][0]
        wanted = f"0.0.0.0:{ports(spec).get('http')}"
        if made.setting(f"{role}.listen") != wanted:
            yield f"{shown(deployment)}: {role}.listen of gatemeter.toml is not {wanted}"


def probes(container):
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    return {kind: container[kind] for kind in kinds if kind in container}


def every_probe_asks_what_is_answered(made):
    served = served_paths()
    for deployment, _, spec in made.pods():
        for container in spec["containers"]:
            found = probes(container)
            if len(found) != 3:
                yield f"{shown(deployment)}: it has not all three probes"
            for kind, probe in found.items():
                path = probe["httpGet"]["path"]
                if path not in served:
                    yield f"{shown(deployment)}: {kind}: no role answers {path}"
                # /readyz is 503 while a partition is halted or a service is away.
                elif kind != "readinessProbe" and path != "/healthz":
                    yield f"{shown(deployment)}: {kind}: {path} would restart it for nothing"
                elif path == "/readyz" and container["args"][0] in ("ingest", "api"):
                    yield f"{shown(deployment)}: {kind}: {path} would take every one out at once"


def every_pod_has_the_time_to_end(made):
    for deployment, _, spec in made.pods():
        for container in spec["containers"]:
            hook = container.get("lifecycle", {}).get("preStop", {})
            needed = hook.get("sleep", {}).get("seconds", 0) + STOP_S
            if spec["terminationGracePeriodSeconds"] < needed:
                yield f"{shown(deployment)}: it needs {needed} s to end"


def every_pod_is_locked_down(made):
    uid, _ = image()
    pod_wanted = {"runAsNonRoot": True, "runAsUser": uid, "runAsGroup": uid, "fsGroup": uid}
    pod_wanted["seccompProfile"] = {"type": "RuntimeDefault"}
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    wanted["capabilities"] = {"drop": ["ALL"]}
    for deployment, _, spec in made.pods():
        if spec.get("securityContext") != pod_wanted:
            yield f"{shown(deployment)}: securityContext of the pod is not {pod_wanted}"
        for key in ("enableServiceLinks", "automountServiceAccountToken"):
            if spec.get(key) is not False:
                yield f"{shown(deployment)}: {key} is not false"
        for container in spec["containers"]:
            if container.get("securityContext") != wanted:
                yield f"{shown(deployment)}: securityContext of a container is not {wanted}"
            wants, may = container["resources"]["requests"], container["resources"]["limits"]
            if set(wants) != {"cpu", "memory"} or "memory" not in may:
                yield f"{shown(deployment)}: requests of cpu and memory, or the limit, are missing"


def files_of(made, deployment, spec):
    """The files that the mounts of a pod bring, and what is wrong with their sources."""
    sources = {}
    for thing in made.of_kind("ConfigMap"):
        sources["configMap", thing["metadata"]["name"]] = set(thing["data"])
    for thing in made.secrets:
        sources["secret", thing["metadata"]["name"]] = set(thing["stringData"])
    files, faults, volumes = set(), [], {}
    for volume in spec["volumes"]:
        [kind] = set(volume) - {"name"}
        name = volume[kind].get("secretName") or volume[kind].get("name")
        keys = sources.get((kind, name))
        if keys is None:
            faults.append(f"{shown(deployment)}: there is no {kind} {name}")
            keys = set()
        items = volume[kind].get("items")
        for item in items or []:
            if item["key"] not in keys:
                faults.append(f"{shown(deployment)}: {kind} {name} has no key {item['key']}")
        volumes[volume["name"]] = {item["path"] for item in items} if items else keys
    for mount in spec["containers"][0]["volumeMounts"]:
        if mount["name"] not in volumes:
            faults.append(f"{shown(deployment)}: there is no volume {mount['name']}")
        files |= {f"{mount['mountPath']}/{name}" for name in volumes.get(mount["name"], ())}
    return files, faults


def every_file_has_a_source(made):
    _, data_dir = image()
    for deployment, _, spec in made.pods():
        files, faults = files_of(made, deployment, spec)
        yield from faults
        role, _, config = spec["containers"][0]["args"]
        key = "ingest.key" if role == "ingest" else "admin.key"
        wanted = {"--config": config, "the key": f"{data_dir}/{key}"}
        for section in {"kafka", "mysql", "redis", role} & set(made.settings):
            for name, value in made.settings[section].items():
                if name.endswith("_file") and value:
                    wanted[f"{section}.{name}"] = value
        for what, path in wanted.items():
            if path not in files:
                yield f"{shown(deployment)}: {what}: nothing is mounted at {path}"


def every_setting_is_one(made):
    known = default_settings()
    for section, keys in made.settings.items():
        for key in keys:
            if f"{section}.{key}" not in known:
                yield f"gatemeter.toml: there is no setting {section}.{key}"
            if key.endswith("password"):
                yield f"gatemeter.toml: {section}.{key} does not belong in a file of settings"
    variables = {f"GATEMETER_{path.replace('.', '__').upper()}" for path in known}
    for deployment, _, spec in made.pods():
        for variable in [each for c in spec["containers"] for each in c.get("env", [])]:
            name = variable["name"]
            if name.startswith("GATEMETER_") and name not in variables:
                yield f"{shown(deployment)}: there is no setting {name}"
            if name.endswith("PASSWORD") and "value" in variable:
                yield f"{shown(deployment)}: {name} must come from a Secret"


def the_secrets_are_an_example(made):
    for thing in made.of_kind("Secret"):
        yield f"{shown(thing)} would be applied"
    for thing in made.secrets:
        for key, value in thing["stringData"].items():
            if value != "REPLACE-ME":
                yield f"{shown(thing)}: {key} is not REPLACE-ME"


def fixed_instance(rules, target):
    """The label `instance` that rules give to all samples alike, if they do."""
    fixed = [rule["replacement"] for rule in rules if rule.get(target) == "instance"]
    return fixed[0] if fixed else None


def asked(job):
    """The name and the port of what a job of prometheus.yml asks."""
    if "dns_sd_configs" in job:
        [found] = job["dns_sd_configs"]
        [name] = found["names"]
        return name, found["port"]
    [target] = job["static_configs"]
    [address] = target["targets"]
    return address.split(":")


def scraped(made):
    """The scrape jobs that the ServiceMonitors make, in the terms of monitoring/prometheus.yml, and
    what is wrong with them."""
    jobs, faults = {}, []
    for monitor in made.of_kind("ServiceMonitor"):
        spec = monitor["spec"]
        labels = spec["selector"]["matchLabels"].items()
        services = [s for s in made.of_kind("Service") if labels <= s["metadata"]["labels"].items()]
        if len(services) != 1:
            faults.append(f"{shown(monitor)}: it selects {len(services)} Services")
            continue
        known = {port["name"]: port["port"] for port in services[0]["spec"]["ports"]}
        for endpoint in spec["endpoints"]:
            if endpoint["port"] not in known:
                faults.append(f"{shown(monitor)}: its Service has no port {endpoint['port']}")
            rules = endpoint["relabelings"]
            fixed = {r["targetLabel"]: r["replacement"] for r in rules if "replacement" in r}
            dropped = [r["regex"] for r in rules if r.get("action") == "labeldrop"]
            kept = [
                label
                for label in TARGET_LABELS
                if not any(re.fullmatch(pattern, label) for pattern in dropped)
            ]
            # Of the samples, not of the target: `up` stays that of a pod.
            same = fixed_instance(endpoint.get("metricRelabelings", []), "targetLabel")
            if same is not None and kept:
                faults.append(f"{shown(monitor)}: {kept} change with the pod, instance does not")
            job = {
                "honor_labels": endpoint.get("honorLabels", False),
                "params": endpoint.get("params", {}),
                "instance": same,
                "interval": endpoint.get("interval"),
                "timeout": endpoint.get("scrapeTimeout"),
                "port": known.get(endpoint["port"]),
            }
            # The operator has them for all endpoints together; only this section has histograms.
            if job["params"].get("section") == ["business"]:
                job["nhcb"] = spec.get("convertClassicHistogramsToNHCB")
                job["classic"] = spec.get("scrapeClassicHistograms")
            jobs[fixed.get("job")] = job
    return jobs, faults


def every_job_is_that_of_prometheus_yml(made):
    [shipped] = documents(ROOT / "monitoring/prometheus.yml")
    wanted = {}
    for job in shipped["scrape_configs"]:
        role, port = asked(job)
        if role not in ROLES:
            continue
        wanted[job["job_name"]] = {
            "honor_labels": job["honor_labels"],
            "params": job.get("params", {}),
            "instance": fixed_instance(job.get("metric_relabel_configs", []), "target_label"),
            "interval": shipped["global"]["scrape_interval"],
            "timeout": shipped["global"]["scrape_timeout"],
            "port": int(port),
        }
        if "convert_classic_histograms_to_nhcb" in job:
            wanted[job["job_name"]]["nhcb"] = job["convert_classic_histograms_to_nhcb"]
            wanted[job["job_name"]]["classic"] = job["always_scrape_classic_histograms"]
    jobs, faults = scraped(made)
    yield from faults
    for name in sorted({*jobs, *wanted}, key=str):
        if jobs.get(name) != wanted.get(name):
            yield f"job {name}: prometheus.yml has {wanted.get(name)}, here is {jobs.get(name)}"


def the_rules_are_those_of_monitoring(made):
    for path in sorted((ROOT / "monitoring/rules").glob("*.yml")):
        name = f"gatemeter-{path.stem}"
        found = [r for r in made.of_kind("PrometheusRule") if r["metadata"]["name"] == name]
        if [rule["spec"] for rule in found] != documents(path):
            yield f"PrometheusRule {name} is not {path.name}: run scripts/kubernetes-rules.sh"


ALL = [
    every_file_is_rendered,
    everything_is_in_one_namespace,
    every_role_is_deployed_once,
    every_selector_selects_the_pods_of_its_name,
    every_deployment_has_a_service_and_a_budget,
    every_port_is_one_of_the_pods,
    every_role_listens_where_its_port_is,
    every_probe_asks_what_is_answered,
    every_pod_has_the_time_to_end,
    every_pod_is_locked_down,
    every_file_has_a_source,
    every_setting_is_one,
    the_secrets_are_an_example,
    every_job_is_that_of_prometheus_yml,
    the_rules_are_those_of_monitoring,
]
