// Package dashboards reads a Grafana dashboard by the schema that Grafana publishes as Go types,
// and names every place where the two differ. It decides nothing itself about what a dashboard may
// hold, and draws nothing.
package dashboards

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The panels and queries that the dashboards have. Compiling all that Grafana publishes takes far
// longer than the check; one that is not listed here is refused, so that none goes unread.
func init() {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(bargauge.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
}

// Check returns each difference between the dashboard and the schema, as "place: what is wrong".
func Check(raw []byte, words Words) []string {
	found := &findings{words: words}
	strict := dashboard.Dashboard{}
	found.add("dashboard", strict.UnmarshalJSONStrict(raw))
	// Strict decoding fills in no panel, so that values are looked at in a second one.
	board := dashboard.Dashboard{}
	if err := json.Unmarshal(raw, &board); err != nil {
		if len(found.lines) == 0 {
			found.add("dashboard", err)
		}
		return found.lines
	}
	found.add("dashboard", board.Validate())
	found.value("dashboard", reflect.ValueOf(board))
	found.fieldConfigs(raw)
	return found.lines
}

type findings struct {
	words Words
	lines []string
}

// add keeps an error of the schema's own code, which may be a list, and an empty one.
func (f *findings) add(place string, err error) {
	if err == nil {
		return
	}
	var list cog.BuildErrors
	if !errors.As(err, &list) {
		f.lines = append(f.lines, fmt.Sprintf("%s: %v", place, err))
		return
	}
	for _, one := range list {
		f.lines = append(f.lines, fmt.Sprintf("%s.%s: %s", place, one.Path, one.Message))
	}
}

// fieldConfigs reads what a panel says of its fields: the schema's strict decoding passes over it.
func (f *findings) fieldConfigs(raw []byte) {
	type panel struct {
		Type        string            `json:"type"`
		FieldConfig json.RawMessage   `json:"fieldConfig"`
		Panels      []json.RawMessage `json:"panels"`
	}
	board := struct {
		Panels []json.RawMessage `json:"panels"`
	}{}
	if err := json.Unmarshal(raw, &board); err != nil {
		f.add("dashboard", err)
		return
	}
	var read func(place string, raw json.RawMessage)
	read = func(place string, raw json.RawMessage) {
		one := panel{}
		if err := json.Unmarshal(raw, &one); err != nil {
			f.add(place, err)
			return
		}
		if one.FieldConfig != nil {
			f.fieldConfig(place+".fieldConfig", one.Type, one.FieldConfig)
		}
		for i, inner := range one.Panels {
			read(fmt.Sprintf("%s.panels[%d]", place, i), inner)
		}
	}
	for i, one := range board.Panels {
		read(fmt.Sprintf("dashboard.panels[%d]", i), one)
	}
}

func (f *findings) fieldConfig(place, kind string, raw json.RawMessage) {
	source := dashboard.FieldConfigSource{}
	f.add(place, source.UnmarshalJSONStrict(raw))
	config := struct {
		Overrides []struct {
			Properties []struct {
				Id    string          `json:"id"`
				Value json.RawMessage `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	}{}
	if err := json.Unmarshal(raw, &config); err != nil {
		f.add(place, err)
		return
	}
	for i, override := range config.Overrides {
		for j, property := range override.Properties {
			place := fmt.Sprintf("%s.overrides[%d].properties[%d]", place, i, j)
			f.property(place, kind, property.Id, property.Value)
		}
	}
}

// property reads an override as if it stood among the defaults, for its value has no type of its
// own.
func (f *findings) property(place, kind, id string, value json.RawMessage) {
	name, custom := strings.CutPrefix(id, "custom.")
	place += "('" + id + "')"
	raw, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		f.add(place, err)
		return
	}
	if !custom {
		defaults := dashboard.FieldConfig{}
		f.override(place, name, defaults.UnmarshalJSONStrict(raw))
		if json.Unmarshal(raw, &defaults) == nil {
			f.field(place, name, reflect.ValueOf(defaults))
		}
		return
	}
	variant, _ := cog.ConfigForPanelcfgVariant(kind)
	if variant.StrictFieldConfigUnmarshaler == nil {
		f.add(place, fmt.Errorf("no such field is known of panels of type '%s'", kind))
		return
	}
	_, err = variant.StrictFieldConfigUnmarshaler(raw)
	f.override(place, name, err)
	if options, err := variant.FieldConfigUnmarshaler(raw); err == nil {
		f.field(place, name, reflect.ValueOf(options).Elem())
	}
}

// override keeps what is wrong with the field of this name: the others are not overridden, and
// nothing is missing where they are not.
func (f *findings) override(place, name string, err error) {
	var list cog.BuildErrors
	if !errors.As(err, &list) {
		f.add(place, err)
		return
	}
	for _, one := range list {
		isOther := one.Message == "required field is missing from input" &&
			!strings.HasPrefix(one.Path, name+".")
		if !isOther {
			f.add(place, cog.BuildErrors{one})
		}
	}
}
