"""Mistakes that the checks must find: each is made in a copy of the manifests."""

MONITORS = "monitoring/service-monitors.yaml"
ALERTS = "monitoring/rules-alerts.yaml"
IMAGE = "          image: gatemeter\n"

# A file, what stands there, what is put in its place wherever it stands, and what must be said.
MISTAKES = [
    # What schemas see.
    ("ingest.yaml", "replicas: 2", "replica: 2", "'replica' was unexpected"),
    ("api.yaml", "containerPort: 8001", 'containerPort: "8001"', "is not of type 'integer'"),
    (
        "api.yaml",
        "maxUnavailable: 1\n",
        "maxUnavailable: 1\n  maxUnavailable: 2\n",
        "already defined",
    ),
    ("ingest.yaml", "policy/v1\n", "policy/v1beta1\n", "find schema for kind PodDisruptionBudget"),
    (MONITORS, "honorLabels", "honourLabels", "'honourLabels' was unexpected"),
    (MONITORS, "labeldrop", "label_drop", "'label_drop' is not one of"),
    (MONITORS, "8s", "8 seconds", "does not match"),
    (ALERTS, "alert: GatemeterNo", "alerts: GatemeterNo", "'alerts' was unexpected"),
    # What they do not see.
    ("kustomization.yaml", "  - api.yaml\n", "", "api.yaml is not among the resources"),
    (
        "ingest.yaml",
        "        app.kubernetes.io/component: ingest\n    spec:",
        "        app.kubernetes.io/component: intake\n    spec:",
        "Service gatemeter-ingest: {'app.kubernetes.io/component': 'ingest',",
    ),
    (
        "api.yaml",
        "  selector:\n    app.kubernetes.io/name: gatemeter\n",
        "  selector:\n    app.kubernetes.io/name: gatemetre\n",
        "selects the pods of nothing",
    ),
    ("aggregator.yaml", "targetPort: http", "targetPort: metrics", "no port metrics in the pods"),
    ("network-policy.yaml", "port: http", "port: https", "no port https in the pods"),
    ("aggregator.yaml", "containerPort: 8002", "containerPort: 9002", "is not 0.0.0.0:9002"),
    ("ingest.yaml", "  maxUnavailable: 1\n", "  maxUnavailable: 0\n", "lets no pod go"),
    (
        "api.yaml",
        "kind: PodDisruptionBudget\nmetadata:\n  name: gatemeter-api",
        None,
        "has no PodDisruptionBudget",
    ),
    ("api.yaml", "path: /healthz", "path: /health", "no role answers /health"),
    (
        "aggregator.yaml",
        "path: /healthz",
        "path: /readyz",
        "livenessProbe: /readyz would restart it",
    ),
    ("ingest.yaml", "path: /metrics", "path: /readyz", "would take every one out at once"),
    ("api.yaml", "PeriodSeconds: 25", "PeriodSeconds: 10", "it needs 15 s to end"),
    (
        "ingest.yaml",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "securityContext of a container",
    ),
    (
        "api.yaml",
        "enableServiceLinks: false",
        "enableServiceLinks: true",
        "enableServiceLinks is not false",
    ),
    (
        "api.yaml",
        "configMap: {name: gatemeter-settings}",
        "configMap: {name: settings}",
        "there is no configMap settings",
    ),
    ("api.yaml", "secretName: gatemeter-keys", "secretName: keys", "there is no secret keys"),
    ("api.yaml", "key: ingest.key, path", "key: ingest, path", "gatemeter-keys has no key ingest"),
    (
        "ingest.yaml",
        "mountPath: /data",
        "mountPath: /keys",
        "nothing is mounted at /data/ingest.key",
    ),
    (
        "gatemeter.toml",
        "mysql.password",
        "db.password",
        "nothing is mounted at /etc/gatemeter-passwords/db.password",
    ),
    ("gatemeter.toml", "host =", "hostname =", "there is no setting mysql.hostname"),
    (
        "ingest.yaml",
        IMAGE,
        IMAGE + "          env: [{name: GATEMETER_KAFKA_BROKERS, value: kafka:9092}]\n",
        "there is no setting GATEMETER_KAFKA_BROKERS",
    ),
    (
        "secrets.example.yaml",
        "admin.key: REPLACE-ME",
        "admin.key: abc",
        "admin.key is not REPLACE-ME",
    ),
    (
        "kustomization.yaml",
        "  - api.yaml\n",
        "  - api.yaml\n  - secrets.example.yaml\n",
        "would be applied",
    ),
    (
        "monitoring/kustomization.yaml",
        "namespace: gatemeter",
        "namespace: monitoring",
        "is not in the namespace gatemeter",
    ),
    (MONITORS, "component: api", "component: page", "it selects 0 Services"),
    (MONITORS, "|pod|", "|", "['pod'] change with the pod"),
    (MONITORS, "[business]", "[process]", "job gatemeter-aggregator: "),
    (MONITORS, "replacement: gatemeter-api", "replacement: api", "job api"),
    (ALERTS, "> 5000", "> 6000", "PrometheusRule gatemeter-alerts is not"),
]


def planted(text, old, new):
    """The text with the mistake; without the whole document where there is no new text."""
    if old not in text:
        raise ValueError(f"{old!r} does not stand there any more")
    if new is None:
        return "---\n".join(part for part in text.split("---\n") if old not in part)
    return text.replace(old, new)
