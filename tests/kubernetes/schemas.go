// Package kubernetes names what scripts/kubernetes-test.sh builds and reads: kustomize, which
// renders the manifests, and controller-gen, which makes the schemas of the operator of Prometheus
// from these types. It is never run.
package kubernetes

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
