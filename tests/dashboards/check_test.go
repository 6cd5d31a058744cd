package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const folder = "../../monitoring/grafana/dashboards"

var readOnce = sync.OnceValues(ReadWords)

func readWords(t *testing.T) Words {
	t.Helper()
	words, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func TestShippedDashboards(t *testing.T) {
	words := readWords(t)
	names, err := filepath.Glob(folder + "/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboard was found in %s: %v", folder, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range Check(raw, words) {
			t.Errorf("%s: %s", filepath.Base(name), line)
		}
	}
}

// change returns the overview with another value at a path, or with none where that is nil.
func change(t *testing.T, value any, path ...any) []byte {
	t.Helper()
	raw, err := os.ReadFile(folder + "/ai-gateway-overview.json")
	if err != nil {
		t.Fatal(err)
	}
	var board any
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	node := board
	last := len(path) - 1
	for _, step := range path[:last] {
		if index, ok := step.(int); ok {
			node = node.([]any)[index]
		} else {
			node = node.(map[string]any)[step.(string)]
		}
	}
	object := node.(map[string]any)
	if name := path[last].(string); value == nil {
		delete(object, name)
	} else {
		object[name] = value
	}
	if raw, err = json.Marshal(board); err != nil {
		t.Fatal(err)
	}
	return raw
}

// override is a list of one that gives all fields the property.
func override(id string, value any) any {
	return []any{map[string]any{
		"matcher":    map[string]any{"id": "byName", "options": "a"},
		"properties": []any{map[string]any{"id": id, "value": value}},
	}}
}

func TestMistakesAreNamed(t *testing.T) {
	words := readWords(t)
	// A stat and a time series.
	const number, graph = 1, 10
	for _, one := range []struct {
		name  string
		board []byte
		want  string
	}{
		{"a text for a number",
			change(t, "1", "panels", number, "id"),
			"dashboard.panels[1].id: json: cannot unmarshal string into Go value of type uint32"},
		{"a field that does not exist",
			change(t, 1, "panels", number, "idd"),
			"dashboard.panels[1].Panel: unexpected field 'idd'"},
		{"a field that is missing",
			change(t, nil, "panels", number, "options", "justifyMode"),
			"dashboard.panels[1].options.justifyMode: required field is missing from input"},
		{"a number that is too large",
			change(t, 12, "fiscalYearStartMonth"),
			"dashboard.fiscalYearStartMonth: must be < 12"},
		{"a word that is not listed",
			change(t, "lsit", "panels", graph, "options", "legend", "displayMode"),
			"dashboard.panels[10].options.legend.displayMode: 'lsit' is none of"},
		{"a word that is not listed, of the fields",
			change(t, "bar", "panels", graph, "fieldConfig", "defaults", "custom", "drawStyle"),
			"dashboard.panels[10].fieldConfig.defaults.custom.drawStyle: 'bar' is none of"},
		{"a field's setting that does not exist",
			change(t, "s", "panels", graph, "fieldConfig", "defaults", "units"),
			"dashboard.panels[10].fieldConfig.defaults.FieldConfig: unexpected field 'units'"},
		{"a field's own setting that does not exist",
			change(t, 1, "panels", graph, "fieldConfig", "defaults", "custom", "lineWith"),
			"dashboard.panels[10].fieldConfig.defaults.custom.GraphFieldConfig: unexpected field 'lineWith'"},
		{"a text for a number in an override",
			change(t, override("decimals", "2"), "panels", graph, "fieldConfig", "overrides"),
			"overrides[0].properties[0]('decimals').decimals: json: cannot unmarshal string"},
		{"an override that does not exist",
			change(t, override("custom.width", 2), "panels", graph, "fieldConfig", "overrides"),
			"properties[0]('custom.width').GraphFieldConfig: unexpected field 'width'"},
		{"an override's word that is not listed",
			change(t, override("custom.drawStyle", "bar"), "panels", graph, "fieldConfig",
				"overrides"),
			"properties[0]('custom.drawStyle'): 'bar' is none of"},
		{"a query's setting that does not exist",
			change(t, true, "panels", graph, "targets", 0, "instnat"),
			"dashboard.panels[10].targets[0].Dataquery: unexpected field 'instnat'"},
		{"a query of another data source",
			change(t, map[string]any{"type": "loki"}, "panels", graph, "targets", 0,
				"datasource"),
			"dashboard.panels[10].targets[0].datasource: no schema is loaded"},
		{"a panel of another type",
			change(t, "timesereis", "panels", graph, "type"),
			"dashboard.panels[10].options: no schema is loaded for panels of type 'timesereis'"},
		{"a variable's word that is not listed",
			change(t, "datasuorce", "templating", "list", 0, "type"),
			"dashboard.templating.list[0].type: 'datasuorce' is none of"},
	} {
		found := strings.Join(Check(one.board, words), "\n")
		if !strings.Contains(found, one.want) {
			t.Errorf("%s: found\n%s\ninstead of\n%s", one.name, found, one.want)
		}
	}
}

func TestOverridesNeedNotBeWhole(t *testing.T) {
	words := readWords(t)
	good := change(t, override("custom.lineWidth", 2), "panels", 10, "fieldConfig", "overrides")
	if found := Check(good, words); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}
