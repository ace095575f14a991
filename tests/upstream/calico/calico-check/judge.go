package main

import (
	"errors"
	"fmt"

	api "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	validator "github.com/projectcalico/calico/libcalico-go/lib/validator/v3"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

type verdict struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Error string `json:"error"`
}

// judge decodes one object strictly, fills it in as libcalico-go does before storing, and validates it.
func judge(line []byte) verdict {
	var head struct {
		meta.TypeMeta `json:",inline"`
		Metadata      struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(line, &head); err != nil {
		return verdict{Error: err.Error()}
	}
	answer := verdict{Kind: head.Kind, Name: head.Metadata.Name}
	if err := check(head.TypeMeta, line); err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func check(kind meta.TypeMeta, line []byte) error {
	if kind.APIVersion != api.GroupVersionCurrent {
		return fmt.Errorf("apiVersion %q is not %s", kind.APIVersion, api.GroupVersionCurrent)
	}
	object, found := empty(kind.Kind)
	if !found {
		return fmt.Errorf("kind %q is not one of those checked here", kind.Kind)
	}
	if err := decode(line, object); err != nil {
		return err
	}
	fillIn(object)
	if err := validator.Validate(object); err != nil {
		return err
	}
	return validName(object)
}

func empty(kind string) (any, bool) {
	switch kind {
	case api.KindGlobalNetworkPolicy:
		return api.NewGlobalNetworkPolicy(), true
	case api.KindNetworkPolicy:
		return api.NewNetworkPolicy(), true
	case api.KindStagedGlobalNetworkPolicy:
		return api.NewStagedGlobalNetworkPolicy(), true
	case api.KindTier:
		return api.NewTier(), true
	case api.KindHostEndpoint:
		return api.NewHostEndpoint(), true
	case api.KindGlobalNetworkSet:
		return api.NewGlobalNetworkSet(), true
	case api.KindNetworkSet:
		return api.NewNetworkSet(), true
	case api.KindProfile:
		return api.NewProfile(), true
	case api.KindIPPool:
		return api.NewIPPool(), true
	case api.KindFelixConfiguration:
		return api.NewFelixConfiguration(), true
	case api.KindKubeControllersConfiguration:
		return api.NewKubeControllersConfiguration(), true
	case api.KindClusterInformation:
		return api.NewClusterInformation(), true
	}
	return nil, false
}

// decode refuses what the API server's strict field validation refuses: unknown and repeated fields, by exact case.
func decode(line []byte, object any) error {
	strict, err := json.UnmarshalStrict(line, object)
	return errors.Join(append(strict, err)...)
}
