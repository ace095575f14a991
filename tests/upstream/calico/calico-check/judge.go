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
	Stage string `json:"stage"`
	Error string `json:"error"`
}

const (
	decodeStep   = "decode"
	validateStep = "validate"
)

func (v *verdict) refuse(stage string, err error) {
	v.Stage, v.Error = stage, err.Error()
}

// judge decodes one object strictly, fills it in as libcalico-go does before storing, and validates it.
func judge(line []byte) (answer verdict) {
	var head struct {
		meta.TypeMeta `json:",inline"`
		Metadata      struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(line, &head); err != nil {
		answer.refuse(decodeStep, err)
		return answer
	}
	answer.Kind, answer.Name = head.Kind, head.Metadata.Name
	// An object that makes the validator panic is refused, not fatal to the next one.
	defer func() {
		if cause := recover(); cause != nil {
			answer.refuse(validateStep, fmt.Errorf("panic: %v", cause))
		}
	}()

	object, err := decode(head.TypeMeta, line)
	if err != nil {
		answer.refuse(decodeStep, err)
		return answer
	}
	fillIn(object)
	if err := errors.Join(validator.Validate(object), validName(object)); err != nil {
		answer.refuse(validateStep, err)
	}
	return answer
}

// decode refuses what the API server's strict field validation refuses: unknown and repeated fields, by exact case.
func decode(kind meta.TypeMeta, line []byte) (any, error) {
	if kind.APIVersion != api.GroupVersionCurrent {
		return nil, fmt.Errorf("apiVersion %q is not %s", kind.APIVersion, api.GroupVersionCurrent)
	}
	object, found := empty(kind.Kind)
	if !found {
		return nil, fmt.Errorf("kind %q is not one of those checked here", kind.Kind)
	}
	strict, err := json.UnmarshalStrict(line, object)
	return object, errors.Join(append(strict, err)...)
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
