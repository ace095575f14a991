// Command helm-render renders a chart with Helm's own engine, as `helm template` does, and asks no cluster.
//
// It is called with the chart's folder and the namespace, reads values as JSON from standard input, and prints
// {"objects": [...], "notes": "..."} or {"refused": "why"}.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

type answer struct {
	Objects []json.RawMessage `json:"objects,omitempty"`
	Notes   string            `json:"notes,omitempty"`
	Refused string            `json:"refused,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: helm-render CHART NAMESPACE < values.json")
		os.Exit(2)
	}
	given, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	result, err := render(os.Args[1], os.Args[2], given)
	if err != nil {
		result = answer{Refused: err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(4)
	}
}

func render(folder, namespace string, given []byte) (answer, error) {
	chart, err := loader.LoadDir(folder)
	if err != nil {
		return answer{}, err
	}
	if err := chart.Validate(); err != nil {
		return answer{}, err
	}
	values, err := chartutil.ReadValues(given)
	if err != nil {
		return answer{}, err
	}
	release := chartutil.ReleaseOptions{Name: "lifeline", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return answer{}, err
	}
	strict := engine.Engine{Strict: true}
	files, err := strict.Render(chart, all)
	if err != nil {
		return answer{}, err
	}
	result := answer{}
	for name, text := range files {
		if path.Base(name) == "NOTES.txt" {
			result.Notes = strings.TrimSpace(text)
			delete(files, name)
		}
	}
	_, manifests, err := releaseutil.SortManifests(files, chartutil.DefaultVersionSet, releaseutil.InstallOrder)
	if err != nil {
		return answer{}, err
	}
	for _, manifest := range manifests {
		object, err := yaml.YAMLToJSONStrict([]byte(manifest.Content))
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", manifest.Name, err)
		}
		if bytes.Equal(object, []byte("null")) {
			return answer{}, errors.New(manifest.Name + ": an empty document")
		}
		result.Objects = append(result.Objects, object)
	}
	return result, nil
}
