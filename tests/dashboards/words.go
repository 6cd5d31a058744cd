package dashboards

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

const module = "github.com/grafana/grafana-foundation-sdk/go"

// Words are the values that the schema lists for a type, by package and type: its types accept any
// text, and only the sources of the module name the constants.
type Words map[string]map[string]bool

// ReadWords reads them from the module that this one is built with.
func ReadWords() (Words, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("the sources of %s are not there: %w", module, err)
	}
	root := strings.TrimSpace(string(out))
	words := Words{}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "types_gen.go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		words.read(path.Join(module, filepath.ToSlash(folder)), file)
		return nil
	})
	if err == nil && len(words) == 0 {
		err = errors.New("no constant was found in " + root)
	}
	return words, err
}

func (w Words) read(in string, file *ast.File) {
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, spec := range block.Specs {
			line := spec.(*ast.ValueSpec)
			kind, typed := line.Type.(*ast.Ident)
			if !typed || len(line.Values) != 1 {
				continue
			}
			value, ok := line.Values[0].(*ast.BasicLit)
			if !ok {
				continue
			}
			key := in + "." + kind.Name
			if w[key] == nil {
				w[key] = map[string]bool{}
			}
			w[key][strings.Trim(value.Value, `"`)] = true
		}
	}
}

// value looks at a decoded value and all that it holds: is each word one that is listed, and has
// everything a schema?
func (f *findings) value(place string, value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			f.value(place, value.Elem())
		}
	case reflect.Struct:
		if panel, ok := value.Interface().(dashboard.Panel); ok {
			f.panel(place, panel)
		}
		for i := 0; i < value.NumField(); i++ {
			inner := place
			// One of several types that a value may have is named like the type, and is no field.
			if name := jsonName(value.Type().Field(i)); strings.ToLower(name[:1]) == name[:1] {
				inner += "." + name
			}
			f.value(inner, value.Field(i))
		}
	case reflect.Slice:
		for i := 0; i < value.Len(); i++ {
			f.value(fmt.Sprintf("%s[%d]", place, i), value.Index(i))
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			f.value(fmt.Sprintf("%s.%v", place, key), value.MapIndex(key))
		}
	case reflect.String, reflect.Int64:
		known := f.words[value.Type().PkgPath()+"."+value.Type().Name()]
		if text := fmt.Sprint(value.Interface()); known != nil && !known[text] {
			f.add(place, fmt.Errorf("'%s' is none of %s", text, list(known)))
		}
	}
}

// field looks at one field of a struct alone.
func (f *findings) field(place, name string, value reflect.Value) {
	for i := 0; i < value.NumField(); i++ {
		if jsonName(value.Type().Field(i)) == name {
			f.value(place, value.Field(i))
		}
	}
}

func jsonName(field reflect.StructField) string {
	if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
		return name
	}
	return field.Name
}

// panel refuses what was read without a schema, and asks the options whether they are valid, which
// the panel's own validation leaves out.
func (f *findings) panel(place string, panel dashboard.Panel) {
	if _, isUntyped := panel.Options.(map[string]any); isUntyped {
		f.add(place+".options", fmt.Errorf("no schema is loaded for panels of type '%s'", panel.Type))
	}
	if options, ok := panel.Options.(interface{ Validate() error }); ok {
		f.add(place+".options", options.Validate())
	}
	if panel.FieldConfig != nil {
		if custom, ok := panel.FieldConfig.Defaults.Custom.(interface{ Validate() error }); ok {
			f.add(place+".fieldConfig.defaults.custom", custom.Validate())
		}
	}
	for i, target := range panel.Targets {
		query, ok := target.(*prometheus.Dataquery)
		// Strict decoding goes by the data source of the query, and not by that of its panel.
		if !ok || query.Datasource == nil || query.Datasource.Type == nil ||
			*query.Datasource.Type != query.DataqueryType() {
			f.add(fmt.Sprintf("%s.targets[%d].datasource", place, i),
				errors.New("no schema is loaded for a type other than 'prometheus'"))
		}
	}
}

func list(known map[string]bool) string {
	all := make([]string, 0, len(known))
	for one := range known {
		all = append(all, "'"+one+"'")
	}
	sort.Strings(all)
	return strings.Join(all, ", ")
}
