package main

import (
	"errors"

	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
)

// schema does to a policy what the API server does with the OpenAPI schema of its kind. The one CEL rule there, that spec
// or specs is given, is left to the agent, which demands the same.
type schema struct {
	structural *structural.Structural
	validator  validation.SchemaValidator
}

func newSchema() (*schema, error) {
	definition := client.GetPregeneratedCRD(logger, client.CCNPCRDName)
	for _, version := range definition.Spec.Versions {
		if version.Name != "v2" {
			continue
		}
		var properties apiextensions.JSONSchemaProps
		written := version.Schema.OpenAPIV3Schema
		convert := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps
		if err := convert(written, &properties, nil); err != nil {
			return nil, err
		}
		shape, err := structural.NewStructural(&properties)
		if err != nil {
			return nil, err
		}
		validator, _, err := validation.NewSchemaValidator(&properties)
		return &schema{shape, validator}, err
	}
	return nil, errors.New("the definition has no version v2")
}

// admit prunes, defaults and checks an object that is created.
func (s *schema) admit(object map[string]any) error {
	pruning.Prune(object, s.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	defaulting.Default(object, s.structural)
	var faults []error
	for _, fault := range validation.ValidateCustomResource(nil, object, s.validator) {
		faults = append(faults, fault)
	}
	return errors.Join(faults...)
}
